"""Instructions whose following can be checked: by a grader, or by which reply keeps to them."""

from random import Random

from strop.evaluation.suites.templates.form import Choice, Graded, Topic, choice
from strop.evaluation.suites.templates.lexicon import CITIES, COLOURS, FRUITS, NAMES, THINGS, WEEKDAYS

topic = Topic("instructions")

_TITLES = ("News", "Story", "Report", "Notice", "Update", "Letter")


@topic.template("write-in-capitals")
def _write_in_capitals(random: Random) -> Graded:
    word = random.choice((*THINGS, *COLOURS))
    grader = {"kind": "regex", "pattern": rf"[^\n]{{0,40}}\b{word.upper()}\b[^\n]{{0,10}}"}
    return Graded(f"Write in capital letters: {word}", grader, word.upper(), word, max_tokens=16)


@topic.template("repeat-exactly")
def _repeat_exactly(random: Random) -> Graded:
    said = f"The {random.choice(COLOURS)} {random.choice(THINGS)} is in {random.choice(CITIES)}"
    return Graded(f'Repeat exactly: "{said}"', {"kind": "exact", "value": said}, said, f"Sure! {said}", max_tokens=24)


@topic.template("two-on-one-line")
def _two_on_one_line(random: Random) -> Graded:
    kind = random.choice(
        (
            *("colours", "animals", "fruits", "cities", "months", "sports", "drinks", "vegetables", "tools"),
            *("rivers", "birds", "trees", "jobs", "languages", "flowers"),
        )
    )
    grader = {"kind": "regex", "pattern": r"[^\n]+(, | and )[^\n]+"}
    return Graded(f"Name two {kind} on one line.", grader, "one and two", "1. one\n2. two", max_tokens=24)


@topic.template("json-with-name")
def _json_with_name(random: Random) -> Graded:
    name, thing, city = random.choice(NAMES), random.choice(THINGS), random.choice(CITIES)
    key, value = random.choice((("thing", thing), ("city", city)))
    prompt = f'Reply with only a JSON object with the keys "name" and "{key}" for {name} and {value}.'
    right = f'{{"name": "{name}", "{key}": "{value}"}}'
    return Graded(prompt, {"kind": "json", "keys": ["name", key]}, right, f"name: {name}", max_tokens=32)


@topic.template("answer-yes-or-no")
def _answer_yes_or_no(random: Random) -> Graded:
    asked, right = random.choice(
        (
            *(("Is snow cold?", "yes"), ("Can fish fly to the moon?", "no"), ("Is a kitten a young cat?", "yes")),
            *(("Do stones eat bread?", "no"), ("Is Rome in Italy?", "yes"), ("Is fire cold?", "no")),
            *(("Do birds have wings?", "yes"), ("Is a banana blue?", "no"), ("Is ten more than two?", "yes")),
            *(("Is Friday a month?", "no"), ("Do cows give milk?", "yes"), ("Is a car alive?", "no")),
        )
    )
    wrong = "no" if right == "yes" else "yes"
    return Graded(f"{asked} Answer only yes or no.", {"kind": "exact", "value": right}, right, wrong, max_tokens=8)


@topic.template("number-in-digits")
def _number_in_digits(random: Random) -> Graded:
    words = {"three": 3, "seven": 7, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "fifteen": 15, "twenty": 20}
    words |= {"thirty": 30, "forty": 40, "fifty": 50, "one hundred": 100, "two hundred": 200, "one thousand": 1000}
    word = random.choice(list(words))
    grader = {"kind": "number", "value": words[word]}
    return Graded(f'Write the number "{word}" in digits.', grader, str(words[word]), word, max_tokens=16)


@topic.template("start-with-word")
def _start_with_word(random: Random) -> Graded:
    start, about = random.choice(("Today", "Maybe", "Once", "Never", "Yesterday")), random.choice((*THINGS, *FRUITS))
    grader = {"kind": "regex", "pattern": rf"\"?{start}\b.+"}
    prompt = f'Write one short sentence about {about}. Its first word must be "{start}".'
    return Graded(prompt, grader, f"{start} it was new.", "It was new.", max_tokens=24)


@topic.template("write-a-question")
def _write_a_question(random: Random) -> Graded:
    about = random.choice((*THINGS, *FRUITS, *COLOURS))
    grader = {"kind": "regex", "pattern": r"[^\n.!?]+\?\"?"}
    prompt = f"Write one short question about {about}. Write only the question."
    return Graded(prompt, grader, f"Do you like {about}?", "I like it.", max_tokens=32)


@topic.template("reply-of-so-many-words")
def _reply_of_so_many_words(random: Random) -> Choice:
    thing, colour = random.choice(THINGS), random.choice(COLOURS)
    replies = {
        "three": f"A {colour} {thing}",
        "four": f"A very {colour} {thing}",
        "five": f"This is a {colour} {thing}",
    }
    asked = random.choice(list(replies))
    wrong = list(replies.values())
    return choice(random, f"Describe the {colour} {thing} in exactly {asked} words.", replies[asked], wrong)


@topic.template("reply-in-form-asked")
def _reply_in_form_asked(random: Random) -> Choice:
    thing, city = random.choice(THINGS), random.choice(CITIES)
    replies = {
        "question": f"Where is the {thing} in {city}?",
        "statement": f"The {thing} is in {city}.",
        "command": f"Take the {thing} to {city}!",
    }
    asked = random.choice(list(replies))
    return choice(random, f"Write a {asked} with {thing} and {city}.", replies[asked], list(replies.values()))


@topic.template("reply-in-capitals")
def _reply_in_capitals(random: Random) -> Choice:
    said = f"The {random.choice(THINGS)} is {random.choice(COLOURS)}"
    replies = {"capital letters": said.upper(), "small letters": said.lower(), "the usual letters": said}
    asked = random.choice(list(replies))
    return choice(random, f'Write "{said}" in {asked} only.', replies[asked], list(replies.values()))


@topic.template("reply-in-layout-asked")
def _reply_in_layout_asked(random: Random) -> Choice:
    one, two, three = random.sample(THINGS, 3)
    replies = {
        "as bullet points": f"- {one}\n- {two}\n- {three}",
        "as a numbered list": f"1. {one}\n2. {two}\n3. {three}",
        "on one line": f"{one}, {two}, {three}",
    }
    asked = random.choice(list(replies))
    return choice(random, f"Write {one}, {two} and {three} {asked}.", replies[asked], list(replies.values()))


@topic.template("reply-with-or-without-word")
def _reply_with_or_without_word(random: Random) -> Choice:
    thing, colour, city = random.choice(THINGS), random.choice(COLOURS), random.choice(CITIES)
    having = [f"The {thing} from {city} is {colour}.", f"From {city} comes the {colour} {thing}."]
    without = [f"That thing from {city} is {colour}.", f"It is from {city} and it is {colour}."]
    asked, good, bad = random.choice((("with", having, without), ("without", without, having)))
    prompt = f'A {colour} {thing} comes from {city}. Say so {asked} the word "{thing}".'
    return choice(random, prompt, good[0], bad)


@topic.template("reply-with-title")
def _reply_with_title(random: Random) -> Choice:
    thing, city = random.choice(THINGS), random.choice(CITIES)
    right, *wrong = [f"{title}\n{city} has a new {thing}." for title in random.sample(_TITLES, 3)]
    title = right.split("\n")[0]
    return choice(
        random,
        f'Write about the {thing} in {city}. Do not use "{wrong[0].split()[0]}" as the title, use "{title}".',
        right,
        wrong,
    )


@topic.template("reply-with-letter")
def _reply_with_letter(random: Random) -> Choice:
    first, *others = random.sample(NAMES, 4)
    wrong = [f"{name} is a name." for name in others]
    return choice(random, f'Give a name that begins with "{first[0]}".', f"{first} is a name.", wrong)


@topic.template("reply-chosen-from")
def _reply_chosen_from(random: Random) -> Choice:
    *offered, other, more = random.sample(WEEKDAYS, 5)
    listed = f"{offered[0]}, {offered[1]} or {offered[2]}"
    wrong = [f"I choose {day}." for day in (other, more)]
    return choice(random, f"Choose one of these days: {listed}.", f"I choose {offered[1]}.", wrong)


@topic.template("reply-in-order-asked")
def _reply_in_order_asked(random: Random) -> Choice:
    words = random.sample((*THINGS, *FRUITS), 3)
    right, *wrong = [", ".join(words[i] for i in order) for order in ((2, 1, 0), (0, 1, 2), (1, 2, 0))]
    return choice(random, f"Write these words in reverse order: {', '.join(words)}.", right, wrong)
