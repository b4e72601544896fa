"""English grammar: which sentence is right."""

from random import Random

from strop.evaluation.suites.templates.form import Choice, Topic, choice
from strop.evaluation.suites.templates.lexicon import NAMES

topic = Topic("grammar")
_RIGHT = "Which sentence is correct?"


def _sentences(name: str, prompt: str, rows: tuple[tuple[str, ...], ...]) -> None:
    """A template whose prompt names what the sentence is about; rows of (about, right, wrong ..)."""
    topic.table(name, f"{_RIGHT} {prompt}", rows)


@topic.template("verb-after-long-subject")
def _verb_after_long_subject(random: Random) -> Choice:
    one, many = random.choice((("key", "doors"), ("box", "toys"), ("list", "names"), ("bag", "keys")))
    between, (third, plain) = random.choice(("with", "for", "of")), random.choice((("is", "are"), ("has", "have")))
    rest = random.choice(("been here all day", "become too old")) if third == "has" else "on the table again"
    right, *wrong = [f"The {one} {between} the {many} {verb} {rest}." for verb in (third, plain, "be")]
    return choice(random, f"{_RIGHT} The {one} {between} the {many} ___ {rest}.", right, wrong)


@topic.template("do-or-does")
def _do_or_does(random: Random) -> Choice:
    one = random.choice(NAMES)
    who, verb = random.choice(
        ((one, "Does"), (f"{one} and her brother", "Do"), ("your parents", "Do"), ("she", "Does"))
    )
    what = random.choice(("like music", "live here", "speak French", "know the way", "want some tea"))
    right, *wrong = [f"{each} {who} {what}?" for each in (verb, "Do" if verb == "Does" else "Does", "Is")]
    return choice(random, f"Make a question: {who}, {what}.", right, wrong)


@topic.template("much-or-many")
def _much_or_many(random: Random) -> Choice:
    many = random.choice((True, False))
    counted = ("books", "friends", "chairs", "letters", "coins", "cars")
    noun = random.choice(counted if many else ("water", "money", "time", "sugar", "rain", "work"))
    ending = random.choice(("do you need", "do they have", "did you see" if many else "is left"))
    right, *wrong = [f"How {word} {noun} {ending}?" for word in (("many", "much") if many else ("much", "many"))]
    return choice(random, f"Ask about the amount of {noun}: {ending}.", right, [*wrong, f"How more {noun} {ending}?"])


@topic.template("a-or-an")
def _a_or_an(random: Random) -> Choice:
    vowel = random.choice((True, False))
    vowels = ("hour", "honest man", "heir", "X-ray", "old uniform", "MP", "ugly yacht", "unused room")
    noun = random.choice(
        vowels if vowel else ("university", "European", "one-way street", "used car", "unicorn", "yellow egg")
    )
    start = random.choice(("I saw", "She has", "There is", "We need"))
    article, other = ("an", "a") if vowel else ("a", "an")
    right, *wrong = [f"{start} {word}{noun}." for word in (f"{article} ", f"{other} ", "")]
    return choice(random, f"{_RIGHT} {start} ___ {noun}.", right, wrong)


@topic.template("adjective-order")
def _adjective_order(random: Random) -> Choice:
    size, age, colour = (
        random.choice(each) for each in (("big", "small", "long"), ("old", "new", "ancient"), ("red", "blue", "green"))
    )
    noun, start = random.choice(("car", "bag", "boat", "scarf")), random.choice(("I saw", "He owns", "We bought"))
    right, *wrong = [
        f"{start} {'an' if first[0] in 'ao' else 'a'} {first} {second} {third} {noun}."
        for first, second, third in ((size, age, colour), (colour, size, age), (size, colour, age), (age, colour, size))
    ]
    return choice(random, f"{_RIGHT} {start} a {noun}; it is {colour}, {age} and {size}.", right, wrong)


_sentences(
    "question-tag",
    "It ends with a short question: {}.",
    (
        ("you are tired", "You are tired, aren't you?", "You are tired, don't you?", "You are tired, isn't it you?"),
        ("she can swim", "She can swim, can't she?", "She can swim, doesn't she?", "She can swim, isn't she?"),
        ("they live here", "They live here, don't they?", "They live here, aren't they?", "They live here, can't it?"),
        ("he was late", "He was late, wasn't he?", "He was late, didn't he?", "He was late, isn't he?"),
        ("it is cold", "It is cold, isn't it?", "It is cold, doesn't it?", "It is cold, aren't it?"),
        ("you saw him", "You saw him, didn't you?", "You saw him, weren't you?", "You saw him, don't you?"),
        ("we have met", "We have met, haven't we?", "We have met, didn't we?", "We have met, aren't we?"),
        ("he will come", "He will come, won't he?", "He will come, isn't he?", "He will come, doesn't he?"),
    ),
)
_sentences(
    "possessive-mark",
    "It is about {}.",
    (
        ("the tail of one dog", "The dog's tail is long.", "The dogs tail is long.", "The dogs' tail's is long."),
        (
            "the toys of the children",
            "The children's toys are here.",
            "The childrens toys are here.",
            "The childs toys are here.",
        ),
        ("the car of my parents", "My parents' car is old.", "My parents car is old.", "My parent car's is old."),
        ("the room of Anna", "Anna's room is tidy.", "Annas room is tidy.", "Anna room's is tidy."),
        (
            "the colour of the sky",
            "The sky's colour is grey.",
            "The skys colour is grey.",
            "The skies colour's is grey.",
        ),
        ("the paw of the cat", "The cat hurt its paw.", "The cat hurt it's paw.", "The cat hurt its' paw."),
        (
            "the house of our friends",
            "Our friends' house is big.",
            "Our friends house is big.",
            "Our friend house's is big.",
        ),
        ("the work of a week", "It took a week's work.", "It took a weeks work.", "It took a week work's."),
    ),
)


@topic.template("if-and-would")
def _if_and_would(random: Random) -> Choice:
    past, plain, main = random.choice(
        (
            ("I were rich", "I would be rich", "I {} travel"),
            ("I had more time", "I would have more time", "I {} help you"),
            ("I knew the answer", "I would know the answer", "I {} tell you"),
            ("she had a car", "she would have a car", "she {} drive"),
            ("it were sunny", "it would be sunny", "we {} swim"),
            ("they lived near", "they would live near", "we {} meet often"),
            ("he were taller", "he would be taller", "he {} play basketball"),
            ("you asked me", "you would ask me", "I {} say yes"),
            ("we won the lottery", "we would win the lottery", "we {} buy a house"),
            ("the dog could speak", "the dog would can speak", "it {} ask for food"),
        )
    )
    right = f"If {past}, {main.format('would')}."
    wrong = [f"If {plain}, {main.format('would')}.", f"If {past}, {main.format('will')}."]
    return choice(random, f"{_RIGHT} It imagines something that is not so: {past}.", right, wrong)


_sentences(
    "time-preposition",
    "It tells when: {}.",
    (
        ("Monday", "We meet on Monday.", "We meet in Monday.", "We meet at Monday."),
        ("July", "We met in July.", "We met on July.", "We met at July."),
        ("six o'clock", "We eat at six o'clock.", "We eat in six o'clock.", "We eat on six o'clock."),
        ("the morning", "I run in the morning.", "I run at the morning.", "I run on the morning."),
        ("night", "Owls hunt at night.", "Owls hunt on night.", "Owls hunt in night."),
        ("2015", "He was born in 2015.", "He was born at 2015.", "He was born on 2015."),
        ("my birthday", "It rained on my birthday.", "It rained in my birthday.", "It rained at my birthday."),
        ("noon", "The shop closes at noon.", "The shop closes in noon.", "The shop closes on noon."),
        ("3 May", "The course starts on 3 May.", "The course starts in 3 May.", "The course starts at 3 May."),
        ("winter", "It snows in winter.", "It snows on winter.", "It snows at winter."),
    ),
)
_sentences(
    "who-or-which",
    "It joins two facts about {}.",
    (
        (
            "a man: he lives here",
            "The man who lives here is old.",
            "The man which lives here is old.",
            "The man what lives here is old.",
        ),
        (
            "a book: it is new",
            "The book which is new is mine.",
            "The book who is new is mine.",
            "The book what is new is mine.",
        ),
        (
            "a town: I was born there",
            "The town where I was born is small.",
            "The town who I was born is small.",
            "The town what I was born is small.",
        ),
        (
            "a girl: her dog is ill",
            "The girl whose dog is ill is sad.",
            "The girl which dog is ill is sad.",
            "The girl what dog is ill is sad.",
        ),
        (
            "a car: it is red",
            "The car which is red is fast.",
            "The car who is red is fast.",
            "The car whose is red is fast.",
        ),
        (
            "a nurse: she helped me",
            "The nurse who helped me is kind.",
            "The nurse which helped me is kind.",
            "The nurse where helped me is kind.",
        ),
        (
            "a day: we met then",
            "The day when we met was warm.",
            "The day who we met was warm.",
            "The day what we met was warm.",
        ),
        (
            "a shop: it sells tea",
            "The shop which sells tea is shut.",
            "The shop who sells tea is shut.",
            "The shop where sells tea is shut.",
        ),
    ),
)
_sentences(
    "capital-letters",
    "Look at the capital letters: {}.",
    (
        ("a city", "We flew to Berlin.", "We flew to berlin.", "we flew to Berlin."),
        ("a weekday", "She left on Friday.", "She left on friday.", "she left on Friday."),
        ("a language", "He speaks Spanish well.", "He speaks spanish well.", "he speaks Spanish well."),
        ("a month", "School starts in August.", "School starts in august.", "school starts in August."),
        ("the speaker", "My sister and I laughed.", "My sister and i laughed.", "my sister and i laughed."),
        ("a river", "The Nile is very long.", "The nile is very long.", "the nile is very long."),
        ("a person", "Ask Doctor Brown first.", "Ask doctor brown first.", "ask Doctor brown first."),
        ("a country", "Tea comes from China.", "Tea comes from china.", "tea comes from China."),
    ),
)
