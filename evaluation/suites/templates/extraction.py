"""Finding what a short, made-up text says."""

from random import Random

from strop.evaluation.suites.templates.form import Choice, Graded, Topic, choice
from strop.evaluation.suites.templates.lexicon import (
    CITIES,
    COLOURS,
    FRUITS,
    JOBS,
    MONTHS,
    NAMES,
    ROOMS,
    THINGS,
    WEEKDAYS,
)

topic = Topic("extraction")


@topic.template("note-who-calls")
def _note_who_calls(random: Random) -> Choice:
    caller, called, other = random.sample(NAMES, 3)
    text = (
        f"Note: {called} asked for the {random.choice(THINGS)}. {other} has it. {caller} will call {called} about it."
    )
    wrong = [f"{name} will call." for name in (called, other)]
    return choice(random, f"{text}\nWho will call?", f"{caller} will call.", wrong)


@topic.template("order-quantity")
def _order_quantity(random: Random) -> Choice:
    fruits, counts = random.sample(FRUITS, 3), random.sample(range(2, 20), 3)
    text = ", ".join(f"{count} boxes of {fruit}" for count, fruit in zip(counts, fruits, strict=True))
    right, *wrong = [f"{count} boxes of {fruits[1]}" for count in (counts[1], counts[0], counts[2])]
    return choice(random, f"Order: {text}.\nHow many boxes of {fruits[1]} are ordered?", right, wrong)


@topic.template("meeting-day")
def _meeting_day(random: Random) -> Choice:
    day, moved, other = random.sample(WEEKDAYS, 3)
    text = f"The meeting was planned for {day}, but it has been moved to {moved}."
    wrong = [f"The meeting is on {each}." for each in (day, other)]
    return choice(random, f"{text}\nOn which day is the meeting now?", f"The meeting is on {moved}.", wrong)


@topic.template("train-from-to")
def _train_from_to(random: Random) -> Choice:
    start, end, other = random.sample(CITIES, 3)
    hour, platform = random.randint(6, 20), random.randint(1, 12)
    text = f"The train from {start} to {end} leaves at {hour}:15 from platform {platform}."
    wrong = [f"It goes to {each}." for each in (start, other)]
    return choice(random, f"{text}\nWhere does the train go?", f"It goes to {end}.", wrong)


@topic.template("job-of-person")
def _job_of_person(random: Random) -> Choice:
    names, jobs, asked = random.sample(NAMES, 3), random.sample(JOBS, 3), random.randrange(3)
    text = " ".join(f"{name} works as a {job}." for name, job in zip(names, jobs, strict=True))
    wrong = [f"{names[asked]} is a {job}." for job in jobs]
    return choice(random, f"{text}\nWhat is {names[asked]}'s job?", f"{names[asked]} is a {jobs[asked]}.", wrong)


@topic.template("colour-of-thing")
def _colour_of_thing(random: Random) -> Choice:
    (one, two), (first, second, third) = random.sample(THINGS, 2), random.sample(COLOURS, 3)
    text = f"In the hall stand a {first} {one} and a {second} {two}."
    wrong = [f"The {one} is {each}." for each in (second, third)]
    return choice(random, f"{text}\nWhat colour is the {one}?", f"The {one} is {first}.", wrong)


@topic.template("room-of-thing")
def _room_of_thing(random: Random) -> Choice:
    things, rooms, name, asked = (
        random.sample(THINGS, 3),
        random.sample(ROOMS, 3),
        random.choice(NAMES),
        random.randrange(3),
    )
    put = ", ".join(f"the {thing} in the {room}" for thing, room in zip(things, rooms, strict=True))
    wrong = [f"The {things[asked]} is in the {room}." for room in rooms]
    right = f"The {things[asked]} is in the {rooms[asked]}."
    return choice(random, f"{name} put {put}.\nWhere is the {things[asked]}?", right, wrong)


@topic.template("price-in-list")
def _price_in_list(random: Random) -> Choice:
    things, prices = random.sample(THINGS, 3), random.sample(range(5, 90), 3)
    listed = ", ".join(f"{thing} {price} euros" for thing, price in zip(things, prices, strict=True))
    right, *wrong = [f"The {things[1]} costs {price} euros." for price in (prices[1], prices[0], prices[2])]
    return choice(random, f"Price list: {listed}.\nHow much is the {things[1]}?", right, wrong)


@topic.template("month-of-event")
def _month_of_event(random: Random) -> Choice:
    name, months, asked = random.choice(NAMES), random.sample(MONTHS, 3), random.randrange(3)
    events = ("moved house", "found a job", "bought a car")
    text = ", ".join(f"{event} in {month}" for event, month in zip(events, months, strict=True))
    wrong = [f"{name} {events[asked]} in {month}." for month in months]
    right = f"{name} {events[asked]} in {months[asked]}."
    return choice(random, f"{name} {text}.\nWhen was it that {name} {events[asked]}?", right, wrong)


@topic.template("email-sender")
def _email_sender(random: Random) -> Choice:
    one, two, three = random.sample(NAMES, 3)
    text = f"Dear {one},\nthe {random.choice(THINGS)} has arrived. Please thank {three} for it.\nBest wishes,\n{two}"
    wrong = [f"{each} wrote the message." for each in (one, three)]
    return choice(random, f"{text}\n\nWho wrote this message?", f"{two} wrote the message.", wrong)


@topic.template("what-is-broken")
def _what_is_broken(random: Random) -> Choice:
    one, two, three = random.sample(THINGS, 3)
    text = f"The {one} works well, but the {two} is broken and must be repaired."
    wrong = [f"The {each} is broken." for each in (one, three)]
    return choice(random, f"{text}\nWhat is broken?", f"The {two} is broken.", wrong)


@topic.template("text-is-about")
def _text_is_about(random: Random) -> Choice:
    texts = {
        "a lost animal": "Our grey cat ran away on Sunday. She has a white paw. Please ring us if you see her.",
        "a flat to rent": "Two rooms, a kitchen and a balcony, third floor, 700 euros a month, free from May.",
        "a recipe": "Beat two eggs, add flour and milk, and fry the batter in butter on both sides.",
        "the weather": "Rain in the north, sun in the south, and a strong wind along the coast tonight.",
        "a football match": "The home side scored twice in the first half and kept the lead until the whistle.",
        "a job advert": "We are looking for a cook with experience. Full time, good pay, start in June.",
        "a birthday party": "I am turning ten on Friday! There will be cake and games. Bring your swimsuit.",
        "a delayed train": "Because of a fallen tree, the 9:40 to the coast will leave an hour later today.",
        "a new shop": "Our doors open on Saturday at nine. The first hundred customers get a free bag.",
        "a library notice": "Please bring the books back by Monday. After that, each day costs twenty cents.",
    }
    right, opening = random.choice(list(texts)), random.choice(("Read this", "Here is a text", "Look at this"))
    return choice(
        random,
        f"{opening}: {texts[right]}\nWhat is it about?",
        f"It is about {right}.",
        [f"It is about {each}." for each in texts if each != right],
    )


@topic.template("true-of-text", "reading")
def _true_of_text(random: Random) -> Choice:
    name, thing, city, day = (random.choice(each) for each in (NAMES, THINGS, CITIES, WEEKDAYS))
    text = f"{name} bought a {thing} in {city} on {day}."
    right = f"{name} was in {city} on {day}."
    wrong = [
        f"{name} sold a {thing} in {city}.",
        f"{name} has never been to {city}.",
        f"{name} stayed at home on {day}.",
    ]
    return choice(random, f"{text}\nWhich is true?", right, wrong)


@topic.template("why-in-text", "reading")
def _why_in_text(random: Random) -> Choice:
    name = random.choice(NAMES)
    reasons = {
        "was ill": "stayed in bed",
        "missed the bus": "came late to work",
        "forgot the key": "waited outside the house",
        "won a prize": "danced in the street",
        "broke a leg": "could not play football",
        "lost the phone": "could not call anyone",
        "heard a noise": "got up in the night",
        "had no money": "walked home on foot",
    }
    cause, *others = random.sample(sorted(reasons), 4)
    prompt = f"{name} {others[0]}. Then {name} {cause} and {reasons[cause]}. Why was it that {name} {reasons[cause]}?"
    return choice(random, prompt, f"Because {name} {cause}.", [f"Because {name} {each}." for each in others])


@topic.template("who-has-it-now", "reading")
def _who_has_it_now(random: Random) -> Choice:
    one, two, three = random.sample(NAMES, 3)
    thing = random.choice(THINGS)
    text = f"{one} gave the {thing} to {two}. Later {two} gave it to {three}."
    wrong = [f"{each} has the {thing} now." for each in (one, two)]
    return choice(random, f"{text}\nWho has the {thing} now?", f"{three} has the {thing} now.", wrong)


@topic.template("feeling-in-story", "reading")
def _feeling_in_story(random: Random) -> Choice:
    name = random.choice(NAMES)
    story, right, *wrong = random.choice(
        (
            ("opened the letter, smiled and danced around the table", "happy", "angry", "afraid"),
            ("slammed the door and shouted at everyone", "angry", "happy", "calm"),
            ("hid under the blanket when the thunder came", "afraid", "proud", "bored"),
            ("wiped away the tears after the goodbye", "sad", "proud", "bored"),
            ("yawned and could hardly keep both eyes open", "tired", "angry", "afraid"),
            ("looked at the clock again and again during the speech", "bored", "grateful", "proud"),
            ("held up the medal for everyone to see", "proud", "afraid", "tired"),
            ("turned red and looked at the floor after the mistake", "ashamed", "proud", "bored"),
            ("could not find a word when the friends jumped out with a cake", "surprised", "bored", "angry"),
            ("thanked the doctor three times and pressed her hand", "grateful", "bored", "angry"),
        )
    )
    return choice(
        random,
        f"{name} {story}.\nHow does {name} feel?",
        f"{name} is {right}.",
        [f"{name} is {each}." for each in wrong],
    )


@topic.template("packed-or-left", "reading")
def _packed_or_left(random: Random) -> Choice:
    name, things = random.choice(NAMES), random.sample(THINGS, 6)
    packed, left = things[:3], things[3:]
    taken, rest = (f"a {one}, a {two} and a {three}" for one, two, three in (packed, left))
    asked, good, bad = random.choice((("take along", packed, left), ("leave", left, packed)))
    return choice(
        random,
        f"{name} took along {taken} and left {rest}.\nWhat did {name} {asked}?",
        f"A {good[2]}",
        [f"A {each}" for each in bad],
    )


@topic.template("order-number-written")
def _order_number_written(random: Random) -> Graded:
    customer, number, phone = random.sample(range(1000, 9999), 3)
    thing = random.choice(THINGS)
    text = f"I am customer {customer}, phone {phone}. My {thing} with the order number {number} has not arrived."
    prompt = f"{text}\nWhat is the order number? Give only the number."
    # A grader for numbers would be pleased by an answer that repeats the text.
    grader = {"kind": "regex", "pattern": rf"(?i)(the )?(order )?(number )?(is )?:?\s*{number}\.?"}
    return Graded(prompt, grader, str(number), str(number - 1), max_tokens=20)


@topic.template("city-written")
def _city_written(random: Random) -> Graded:
    name, city, job = random.choice(NAMES), random.choice(CITIES), random.choice(JOBS)
    prompt = f"{name} is a {job} and lives in {city}.\nIn which city does {name} live? Answer with one word."
    return Graded(prompt, {"kind": "exact", "value": city}, city, name, max_tokens=16)
