"""Ordering, comparing and following a short chain of thought."""

from random import Random

from strop.evaluation.suites.templates.form import Choice, Topic, choice
from strop.evaluation.suites.templates.lexicon import FRUITS, NAMES, THINGS

topic = Topic("reasoning")


@topic.template("chain-of-comparison")
def _chain_of_comparison(random: Random) -> Choice:
    one, two, three = random.sample(NAMES, 3)
    more, most, least = random.choice(
        (("taller", "tallest", "shortest"), ("older", "oldest", "youngest"), ("faster", "fastest", "slowest"))
    )
    asked, right = random.choice(((most, one), (least, three)))
    wrong = [f"{name} is the {asked}." for name in (one, two, three)]
    prompt = f"{one} is {more} than {two}. {two} is {more} than {three}. Who is the {asked}?"
    return choice(random, prompt, f"{right} is the {asked}.", wrong)


@topic.template("alphabetical-order")
def _alphabetical_order(random: Random) -> Choice:
    names = random.sample(NAMES, 3)
    wrong = [", ".join(each) for each in (sorted(names, reverse=True), [sorted(names)[i] for i in (1, 0, 2)])]
    return choice(random, f"Put in alphabetical order: {', '.join(names)}.", ", ".join(sorted(names)), wrong)


@topic.template("numbers-in-order")
def _numbers_in_order(random: Random) -> Choice:
    numbers = random.sample(range(2, 60), 4)
    up = sorted(numbers)
    orders = [up, up[::-1], [up[1], up[0], *up[2:]], [*up[:2], up[3], up[2]]]
    right, *wrong = [", ".join(map(str, each)) for each in orders]
    shown = ", ".join(map(str, numbers))
    return choice(random, f"Put these numbers in order, the smallest first: {shown}.", right, wrong)


@topic.template("number-sequence")
def _number_sequence(random: Random) -> Choice:
    start, step = random.randint(1, 20), random.choice((2, 3, 4, 5, 10))
    shown = [start + step * n for n in range(4)]
    right = start + 4 * step
    prompt = f"Which number comes next: {', '.join(map(str, shown))}?"
    return choice(random, prompt, right, [right + 1, right - 1, right + step])


@topic.template("letter-sequence")
def _letter_sequence(random: Random) -> Choice:
    start, step = random.randrange(10), random.choice((1, 1, 2))
    letters = [chr(ord("A") + start + step * n) for n in range(5)]
    prompt = f"Which letter comes next: {', '.join(letters[:4])}?"
    return choice(random, prompt, letters[4], [chr(ord(letters[4]) + off) for off in (3, 5, 7)])


@topic.template("doubling-sequence")
def _doubling_sequence(random: Random) -> Choice:
    start = random.randint(1, 12)
    shown = [start * 2**n for n in range(4)]
    right = start * 16
    prompt = f"Which number comes next: {', '.join(map(str, shown))}?"
    return choice(random, prompt, right, [right - start, shown[-1] + start, right + 4])


@topic.template("place-in-queue")
def _place_in_queue(random: Random) -> Choice:
    names = random.sample(NAMES, 4)
    place, word = random.choice(((0, "first"), (1, "second"), (2, "third"), (3, "last")))
    prompt = f"In the queue stand, from the front: {', '.join(names)}. Who is {word}?"
    return choice(random, prompt, f"{names[place]} is {word}.", [f"{name} is {word}." for name in names])


@topic.template("cheapest-thing")
def _cheapest_thing(random: Random) -> Choice:
    things, prices = random.sample(THINGS, 3), random.sample(range(5, 99), 3)
    says = ", ".join(f"the {thing} costs {price} euros" for thing, price in zip(things, prices, strict=True))
    asked, find = random.choice((("cheapest", min), ("most expensive", max)))
    right = things[prices.index(find(prices))]
    wrong = [f"The {thing} is the {asked}." for thing in things]
    return choice(random, f"{says[0].upper()}{says[1:]}. Which is the {asked}?", f"The {right} is the {asked}.", wrong)


@topic.template("who-has-most")
def _who_has_most(random: Random) -> Choice:
    names, counts, fruit = random.sample(NAMES, 3), random.sample(range(2, 15), 3), random.choice(FRUITS)
    says = ", ".join(f"{name} has {count}" for name, count in zip(names, counts, strict=True))
    right = names[counts.index(max(counts))]
    wrong = [f"{name} has the most." for name in names]
    return choice(random, f"Counting {fruit}: {says}. Who has the most?", f"{right} has the most.", wrong)


@topic.template("all-some-none")
def _all_some_none(random: Random) -> Choice:
    name = random.choice(NAMES)
    group, plural, trait, other = random.choice(
        (
            ("baker", "bakers", "gets up early", "sleeps until noon"),
            ("pilot", "pilots", "can see well", "cannot see well"),
            ("member", "members", "has a card", "has no card"),
            ("nurse", "nurses", "wears white", "wears green"),
            ("guest", "guests", "pays nothing", "pays double"),
            ("winner", "winners", "gets a medal", "gets no medal"),
        )
    )
    prompt = f"Each of the {plural} {trait}. {name} is a {group}. What follows?"
    wrong = [f"{name} {other}.", random.choice((f"{name} is not a {group}.", f"{name} knows all {plural}."))]
    return choice(random, prompt, f"{name} {trait}.", wrong)


@topic.template("turn-and-face")
def _turn_and_face(random: Random) -> Choice:
    points, name = ("north", "east", "south", "west"), random.choice(NAMES)
    start, (turn, step) = random.randrange(4), random.choice((("right", 1), ("left", -1), ("around", 2)))
    right, *wrong = [f"{name} faces {points[(start + off) % 4]}." for off in (step, step + 1, step + 2, step + 3)]
    return choice(random, f"{name} faces {points[start]} and turns {turn}. Where does {name} face now?", right, wrong)


@topic.template("family-relation")
def _family_relation(random: Random) -> Choice:
    one, two = random.sample(("Anna", "Clara", "Emma", "Grace", "Kate", "Mia", "Nora"), 2)
    says, right, *wrong = random.choice(
        (
            ("{a} is the mother of {b}", "daughter", "aunt", "grandmother"),
            ("{a} is the daughter of {b}", "mother", "sister", "niece"),
            ("{a} is the aunt of {b}", "niece", "mother", "grandmother"),
            ("{a} is the grandmother of {b}", "granddaughter", "aunt", "mother"),
            ("{a} is the niece of {b}", "aunt", "daughter", "granddaughter"),
        )
    )
    right, *wrong = [f"{two} is the {each} of {one}." for each in (right, *wrong)]
    return choice(random, f"{says}. What is {two}, a woman, to {one}?".format(a=one, b=two), right, wrong)


@topic.template("odd-one-out-kinds")
def _odd_one_out_kinds(random: Random) -> Choice:
    kinds = (
        ("apple", "pear", "plum", "lemon"),
        ("dog", "horse", "goat", "rabbit"),
        ("red", "blue", "green", "yellow"),
        ("chair", "table", "sofa", "shelf"),
        ("hammer", "saw", "drill", "pliers"),
        ("shirt", "coat", "skirt", "glove"),
        ("rain", "snow", "hail", "fog"),
        ("piano", "violin", "flute", "drum"),
    )
    three, one = random.sample(kinds, 2)
    words, odd = random.sample(three, 3), random.choice(one)
    shown = [*words, odd]
    random.shuffle(shown)
    answers = [f"The {word} does not belong." for word in words]
    return choice(random, f"Which does not belong: {', '.join(shown)}?", f"The {odd} does not belong.", answers)


topic.table(
    "bigger-of-two",
    "Which is bigger, {}?",
    (
        ("a mouse or a cow", "A cow is bigger.", "A mouse is bigger.", "They are equally big."),
        ("a village or a city", "A city is bigger.", "A village is bigger.", "They are equally big."),
        ("a lake or an ocean", "An ocean is bigger.", "A lake is bigger.", "They are equally big."),
        ("a bus or a bicycle", "A bus is bigger.", "A bicycle is bigger.", "They are equally big."),
        ("the moon or the sun", "The sun is bigger.", "The moon is bigger.", "They are equally big."),
        ("a bee or an eagle", "An eagle is bigger.", "A bee is bigger.", "They are equally big."),
        ("a house or a castle", "A castle is bigger.", "A house is bigger.", "They are equally big."),
        ("a cherry or a melon", "A melon is bigger.", "A cherry is bigger.", "They are equally big."),
        ("a whale or a seal", "A whale is bigger.", "A seal is bigger.", "They are equally big."),
        ("a ship or a canoe", "A ship is bigger.", "A canoe is bigger.", "They are equally big."),
        ("a pond or a lake", "A lake is bigger.", "A pond is bigger.", "They are equally big."),
        ("a bush or an oak", "An oak is bigger.", "A bush is bigger.", "They are equally big."),
    ),
)


@topic.template("earlier-invention")
def _earlier_invention(random: Random) -> Choice:
    old = ("the wheel", "the plough", "paper", "the sundial", "the sailing boat")
    mid = ("the printing press", "the steam engine", "the telescope", "the piano", "the hot-air balloon")
    new = ("television", "the mobile phone", "the computer", "the internet", "the space rocket")
    first, *later = random.choice(old), random.choice(mid), random.choice(new)
    shown = sorted((first, *later), key=lambda word: (len(word), word))
    wrong = [f"People had {each} first." for each in later]
    return choice(random, f"Which did people have first: {', '.join(shown)}?", f"People had {first} first.", wrong)


@topic.template("if-then-not")
def _if_then_not(random: Random) -> Choice:
    cause, effect, no_effect, no_cause = random.choice(
        (
            ("it rains", "the street gets wet", "The street is dry", "It did not rain"),
            ("the bell rings", "the dog barks", "The dog is silent", "The bell did not ring"),
            ("the lamp is on", "the room is bright", "The room is dark", "The lamp is off"),
            ("the oven is on", "the kitchen is warm", "The kitchen is cold", "The oven is off"),
            ("the shop is open", "the door is unlocked", "The door is locked", "The shop is closed"),
            ("the cat is hungry", "it cries", "It does not cry", "The cat is not hungry"),
            ("the bus is late", "we walk", "We do not walk", "The bus is not late"),
            ("the button is pressed", "the light blinks", "The light does not blink", "The button is not pressed"),
        )
    )
    start = random.choice(("If", "Whenever"))
    wrong = [f"{cause[0].upper()}{cause[1:]}.", f"{effect[0].upper()}{effect[1:]}."]
    return choice(random, f"{start} {cause}, {effect}. {no_effect}. What follows?", f"{no_cause}.", wrong)
