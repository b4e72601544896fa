"""Which rewrite keeps the meaning."""

from random import Random

from strop.evaluation.suites.templates.form import Choice, Topic, choice
from strop.evaluation.suites.templates.lexicon import CITIES, NAMES, ROOMS, THINGS, WEEKDAYS

topic = Topic("reading")
_ASK = "Which sentence means the same?"


@topic.template("rewrite-passive")
def _rewrite_passive(random: Random) -> Choice:
    one, two = random.sample(NAMES, 2)
    past, part = random.choice(
        (("called", "called"), ("saw", "seen"), ("helped", "helped"), ("invited", "invited"), ("thanked", "thanked"))
    )
    wrong = [f"{one} was {part} by {two}.", f"{two} was not {part} by {one}."]
    return choice(random, f"{one} {past} {two}. {_ASK}", f"{two} was {part} by {one}.", wrong)


@topic.template("rewrite-comparison")
def _rewrite_comparison(random: Random) -> Choice:
    one, two = random.sample(NAMES, 2)
    more, less, plain = random.choice(
        (
            ("taller", "shorter", "tall"),
            ("older", "younger", "old"),
            ("faster", "slower", "fast"),
            ("richer", "poorer", "rich"),
            ("louder", "quieter", "loud"),
        )
    )
    wrong = [f"{one} is {less} than {two}.", f"{two} is not less {plain} than {one}."]
    return choice(random, f"{one} is {more} than {two}. {_ASK}", f"{two} is {less} than {one}.", wrong)


@topic.template("rewrite-before-after")
def _rewrite_before_after(random: Random) -> Choice:
    name = random.choice(NAMES)
    first, then, third = random.sample(("ate", "slept", "went out", "took a bath", "read a letter", "called home"), 3)
    wrong = [f"{name} {first} after {name} {then}.", f"{name} {then} before {name} {third}."]
    right = f"{name} {then} after {name} {first}."
    return choice(random, f"{name} {first} before {name} {then}. {_ASK}", right, wrong)


@topic.template("rewrite-opposite")
def _rewrite_opposite(random: Random) -> Choice:
    thing = random.choice(THINGS)
    word, other = random.choice(
        (("clean", "dirty"), ("new", "old"), ("cheap", "expensive"), ("heavy", "light"), ("big", "small"))
    )
    if random.random() < 0.5:
        word, other = other, word
    wrong = [f"The {thing} is not {word}.", f"The {thing} is {random.choice(('green', 'broken', 'lost', 'round'))}."]
    return choice(random, f"The {thing} is not {other}. {_ASK}", f"The {thing} is {word}.", wrong)


@topic.template("rewrite-reported")
def _rewrite_reported(random: Random) -> Choice:
    one, two = random.sample(NAMES, 2)
    first, (third, other) = random.choice(
        (
            ("I am tired", ("was tired", "was hungry")),
            ("I live here", ("lived there", "worked there")),
            ("I like tea", ("liked tea", "hated tea")),
            ("I have a dog", ("had a dog", "had a cat")),
            ("I need help", ("needed help", "gave help")),
        )
    )
    right = f"{one} told {two} that {one} {third}."
    wrong = [f"{one} told {two} that {two} {third}.", f"{one} told {two} that {one} {other}."]
    return choice(random, f'{one} said to {two}: "{first}." {_ASK}', right, wrong)


@topic.template("rewrite-because")
def _rewrite_because(random: Random) -> Choice:
    cause, effect = random.choice(
        (
            ("it rained", "we stayed at home"),
            ("the shop was closed", "she bought nothing"),
            ("he was ill", "the trip was cancelled"),
            ("the road was icy", "they drove slowly"),
            ("the film was dull", "I fell asleep"),
            ("the soup was hot", "Leo waited a while"),
            ("the baby slept", "everyone was quiet"),
            ("the bus was full", "Nora walked"),
            ("the key was lost", "Ben broke a window"),
            ("the music was loud", "nobody could talk"),
        )
    )
    right = f"Because {cause}, {effect}."
    wrong = [f"Because {effect}, {cause}.", f"Although {cause}, {effect} too late."]
    return choice(random, f"{effect[0].upper()}{effect[1:]}, since {cause}. {_ASK}", right, wrong)


@topic.template("rewrite-nobody-all")
def _rewrite_nobody_all(random: Random) -> Choice:
    what, place = random.choice(("laughed", "arrived", "agreed", "slept", "won")), random.choice(ROOMS)
    group = random.choice(("guests", "children", "players", "pupils"))
    said, right, *wrong = random.choice(
        (
            ("Not one of the {g} {w}", "None of the {g} {w}", "All of the {g} {w}", "Most of the {g} {w}"),
            ("Every one of the {g} {w}", "All of the {g} {w}", "None of the {g} {w}", "Few of the {g} {w}"),
            ("Only a few of the {g} {w}", "Not many of the {g} {w}", "Nearly all of the {g} {w}", "All the {g} {w}"),
        )
    )
    right, *wrong = [f"{each} in the {place}.".format(g=group, w=what) for each in (right, *wrong)]
    return choice(random, f"{said} in the {place}. {_ASK}".format(g=group, w=what), right, wrong)


@topic.template("rewrite-shorter")
def _rewrite_shorter(random: Random) -> Choice:
    name, city, day = random.choice(NAMES), random.choice(CITIES), random.choice(WEEKDAYS)
    text, right, *wrong = random.choice(
        (
            (
                "made the decision to travel to {c}",
                "decided to go to {c}",
                "decided to leave {c}",
                "refused to go to {c}",
            ),
            (
                "gave an answer to the letter from {c}",
                "answered the letter from {c}",
                "tore up the letter from {c}",
                "lost the letter from {c}",
            ),
            (
                "is in possession of a house in {c}",
                "owns a house in {c}",
                "wants a house in {c}",
                "sold a house in {c}",
            ),
            (
                "did not succeed in finding work in {c}",
                "found no work in {c}",
                "found work in {c}",
                "looked for no work in {c}",
            ),
        )
    )
    right, *wrong = [f"On {day}, {name} {each}.".format(c=city) for each in (right, *wrong)]
    return choice(random, f"On {day}, {name} {text}. Which is a shorter way to say it?".format(c=city), right, wrong)


topic.table(
    "rewrite-saying",
    '"{}" What does that mean?',
    (
        ("It is raining cats and dogs.", "It is raining hard.", "Animals are falling.", "It is a dry day."),
        ("He spilled the beans.", "He told the secret.", "He cooked dinner.", "He cleaned the floor."),
        ("That test was a piece of cake.", "The test was easy.", "The test was sweet.", "The test was long."),
        ("She is feeling under the weather.", "She is a little ill.", "She is out in the rain.", "She is very happy."),
        ("Break a leg!", "Good luck!", "Be careful!", "Go away!"),
        ("It costs an arm and a leg.", "It is very expensive.", "It hurts very much.", "It is a cheap toy."),
        ("He let the cat out of the bag.", "He gave away the secret.", "He went out with the cat.", "He lost his bag."),
        ("We see eye to eye.", "We agree.", "We stare.", "We fight."),
        ("Hit the hay.", "Go to bed.", "Feed the horse.", "Work hard."),
        ("I am all ears.", "I am listening.", "I am deaf.", "I am hungry."),
        ("She has a heart of gold.", "She is very kind.", "She is very rich.", "She is often ill."),
        ("He missed the boat.", "He lost his chance.", "He loves the sea.", "He came early."),
    ),
)
topic.table(
    "rewrite-politely",
    'Say it more politely: "{}"',
    (
        (
            "Give me the salt.",
            "Could you pass me the salt, please?",
            "Salt, and be quick about it!",
            "Why is the salt over there?",
        ),
        (
            "Be quiet.",
            "Would you mind speaking more softly?",
            "Shut your mouth this minute!",
            "Why are you always so loud?",
        ),
        (
            "Open the window.",
            "Could you open the window, please?",
            "Get that window open at once!",
            "Who closed that window again?",
        ),
        ("Move.", "Excuse me, may I get past?", "Out of my way, I said!", "Why do you stand there?"),
        ("What do you want?", "How may I help you today?", "What is it this time?", "You again, what now?"),
        (
            "You are wrong.",
            "I am afraid I see it differently.",
            "You never get anything right.",
            "That is the silliest thing I heard.",
        ),
        (
            "I do not want it.",
            "Thank you, but I would rather not.",
            "Take that away from me now.",
            "Who would ever want such a thing?",
        ),
        ("Wait.", "One moment, please.", "Stand there and wait!", "Can you not wait?"),
        (
            "Send me the file.",
            "Would you please send me the file?",
            "Send that file or else!",
            "Where on earth is that file?",
        ),
        ("Come here.", "Would you come over for a moment?", "Get over here right now!", "Why are you not here yet?"),
    ),
    suite="sentiment_and_tone",
)
