"""Words: spelling, forms, parts, meaning in a sentence."""

from random import Random

from strop.evaluation.suites.templates.form import Choice, Graded, Topic, choice

topic = Topic("words")

_WORDS = (
    *("apple", "river", "candle", "garden", "window", "silver", "button", "carpet", "dragon", "flower", "hammer"),
    *("island", "jacket", "kitchen", "lantern", "market", "needle", "orange", "pillow", "rabbit", "summer", "ticket"),
    *("violin", "winter", "yellow", "bridge", "cloud", "desert", "engine", "forest", "guitar", "honey", "ladder"),
)

topic.table(
    "opposite-by-prefix",
    'Add a prefix to make the opposite of "{}".',
    (
        ("happy", "unhappy", "inhappy", "dishappy"),
        ("possible", "impossible", "unpossible", "dispossible"),
        ("honest", "dishonest", "unhonest", "inhonest"),
        ("legal", "illegal", "unlegal", "dislegal"),
        ("regular", "irregular", "unregular", "disregular"),
        ("visible", "invisible", "unvisible", "disvisible"),
        ("agree", "disagree", "unagree", "inagree"),
        ("patient", "impatient", "unpatient", "dispatient"),
        ("lucky", "unlucky", "inlucky", "dislucky"),
        ("correct", "incorrect", "uncorrect", "discorrect"),
        ("polite", "impolite", "unpolite", "dispolite"),
        ("fair", "unfair", "infair", "disfair"),
    ),
)
topic.table(
    "noun-from-verb",
    'Which noun belongs to the verb "{}"?',
    (
        ("decide", "decision", "decidement", "decidation"),
        ("arrive", "arrival", "arrivement", "arrivation"),
        ("explain", "explanation", "explainment", "explainal"),
        ("develop", "development", "developation", "developal"),
        ("refuse", "refusal", "refusement", "refusation"),
        ("invite", "invitation", "invitement", "invital"),
        ("choose", "choice", "choosement", "choosal"),
        ("grow", "growth", "growment", "growation"),
        ("succeed", "success", "succeedment", "succeedal"),
        ("improve", "improvement", "improvation", "improval"),
        ("imagine", "imagination", "imaginement", "imaginal"),
        ("believe", "belief", "believement", "believation"),
    ),
)
topic.table(
    "adjective-from-noun",
    'Which adjective belongs to the noun "{}"?',
    (
        ("danger", "dangerous", "dangerful", "dangery"),
        ("beauty", "beautiful", "beautyous", "beautic"),
        ("rain", "rainy", "rainous", "rainful"),
        ("fame", "famous", "fameful", "famey"),
        ("hope", "hopeful", "hopeous", "hopey"),
        ("nation", "national", "nationous", "nationful"),
        ("child", "childish", "childous", "childful"),
        ("gold", "golden", "goldous", "goldful"),
        ("poison", "poisonous", "poisonful", "poisonish"),
        ("salt", "salty", "saltous", "saltful"),
        ("history", "historic", "historyous", "historyful"),
        ("care", "careful", "carous", "carey"),
    ),
)
topic.table(
    "person-who",
    "What do you call a person who {}?",
    (
        ("plays the piano", "A pianist", "A pianoer", "A pianian"),
        ("writes books", "An author", "A booker", "A writist"),
        ("studies stars", "An astronomer", "A starrist", "A stargeon"),
        ("repairs cars", "A mechanic", "A carrist", "A repairman of pipes"),
        ("makes bread", "A baker", "A breadist", "A breader"),
        ("collects stamps", "A stamp collector", "A stamp collection", "A stamp collective"),
        ("eats no meat", "A vegetarian", "A vegetable", "A vegetation"),
        ("flies a plane", "A pilot", "A planer", "A flyist"),
        ("speaks two languages", "A bilingual person", "A billing person", "A binary person"),
        ("sells flowers", "A florist", "A flowerer", "A flourist"),
        ("acts on stage", "An actor", "An action", "An acter"),
        ("runs a marathon", "A runner", "A runnist", "A running"),
    ),
)
topic.table(
    "group-of",
    "Which is right: a group of {}?",
    (
        *(("wolves", "a pack of wolves", "a bunch of wolves", "a school of wolves"),),
        *(("fish", "a school of fish", "a bunch of fish", "a pride of fish"),),
        *(("lions", "a pride of lions", "a bunch of lions", "a school of lions"),),
        *(("sheep", "a flock of sheep", "a bunch of sheep", "a pack of sheep"),),
        *(("cows", "a herd of cows", "a bunch of cows", "a school of cows"),),
        *(("bees", "a swarm of bees", "a herd of bees", "a pack of bees"),),
        *(("flowers", "a bunch of flowers", "a herd of flowers", "a team of flowers"),),
        *(("cards", "a deck of cards", "a flock of cards", "a crew of cards"),),
        *(("stairs", "a flight of stairs", "a herd of stairs", "a crew of stairs"),),
        *(("sailors", "a crew of sailors", "a herd of sailors", "a deck of sailors"),),
        *(("players", "a team of players", "a herd of players", "a deck of players"),),
        *(("elephants", "a herd of elephants", "a deck of elephants", "a bunch of elephants"),),
    ),
)
topic.table(
    "rhymes-with",
    'Which word rhymes with "{}"?',
    (
        *(("light", "night", "lamp", "land"), ("house", "mouse", "horse", "home"), ("tree", "bee", "tray", "leaf")),
        *(("cake", "lake", "cook", "kick"), ("bear", "chair", "bean", "beard"), ("moon", "spoon", "moan", "star")),
        *(("rain", "train", "ran", "rin"), ("fox", "box", "fix", "fur"), ("king", "ring", "kind", "queen")),
        *(("ball", "wall", "bell", "bill"), ("snow", "grow", "now", "snap"), ("blue", "shoe", "blow", "black")),
    ),
)
topic.table(
    "abbreviation",
    'What does "{}" stand for?',
    (
        ("km", "kilometre", "kilogram", "kitchen mile"),
        ("kg", "kilogram", "kilometre", "kiln gauge"),
        ("Dr", "Doctor", "Driver", "Director"),
        ("approx.", "approximately", "appropriate", "approval"),
        ("Mon.", "Monday", "Month", "Money"),
        ("Sept.", "September", "Seventh", "Separate"),
        ("ASAP", "as soon as possible", "as slow as permitted", "as simple as paper"),
        ("e.g.", "for example", "and so on", "in other words"),
        ("etc.", "and so on", "for example", "at the same time"),
        ("tel.", "telephone", "television", "telescope"),
        ("St", "Street", "Stone", "Stair"),
        ("min.", "minute", "million", "mineral"),
    ),
)
topic.table(
    "word-in-sentence",
    "{} What does the last word mean here?",
    (
        ("He put the money in the bank.", "A place that keeps money", "The side of a river", "A long wooden seat"),
        ("She hit the ball with a bat.", "A stick for sports", "A small flying animal", "A bath for babies"),
        ("They sat under the palm.", "A tall tree", "A part of the hand", "A kind of prayer"),
        ("I wrote it with a pen.", "A tool for writing", "A place for pigs", "A female swan"),
        ("The dog began to bark.", "To make a loud noise", "The skin of a tree", "A kind of sailing boat"),
        ("We watched the play.", "A piece of theatre", "A game of children", "A move in chess"),
        ("He wore a golden ring.", "A band for a finger", "The sound of a bell", "A place to box"),
        ("The bird had a long bill.", "A hard mouth", "A paper to pay", "A draft of a law"),
        ("She wound up the watch.", "A small clock", "A long look", "A guard at night"),
        ("The nurse took his pulse. His heart was light.", "Not heavy", "Full of lamps", "Very pale"),
        ("They made a toast.", "A drink to honour someone", "A slice of hot bread", "A shade of brown"),
        ("The ship left the port.", "A harbour", "A sweet wine", "A hole for a plug"),
    ),
)
topic.table(
    "hard-spelling",
    'Spell the word that means "{}".',
    (
        ("the day after Tuesday", "Wednesday", "Wendesday", "Wensday"),
        ("the one after the eleventh", "twelfth", "twelth", "twelvth"),
        ("the opposite of the end", "beginning", "begining", "beggining"),
        ("a place to eat out", "restaurant", "restaraunt", "resturant"),
        ("to get a letter", "receive", "recieve", "receeve"),
        ("not the same", "different", "diffrent", "diferent"),
        ("a person next door", "neighbour", "nieghbour", "naybour"),
        ("without any doubt", "definitely", "definately", "definitly"),
        ("needed without doubt", "necessary", "neccessary", "necesary"),
        ("what the state has", "government", "goverment", "governmant"),
        ("the day that follows today", "tomorrow", "tommorow", "tomorow"),
        ("ashamed before others", "embarrassed", "embarassed", "embarrased"),
    ),
)


@topic.template("second-letter")
def _second_letter(random: Random) -> Choice:
    word, *others = random.sample(_WORDS, 12)
    letters = [f'The second letter is "{letter}".' for letter in (word[0], word[2], *(other[1] for other in others))]
    right = f'The second letter is "{word[1]}".'
    return choice(random, f'What is the second letter of "{word}"?', right, letters)


@topic.template("last-letter")
def _last_letter(random: Random) -> Choice:
    word, *others = random.sample(_WORDS, 10)
    letters = [f'It ends with the letter "{other[-1]}".' for other in (*others, "tea", "go", "map")]
    return choice(random, f'Which letter does "{word}" end with?', f'It ends with the letter "{word[-1]}".', letters)


@topic.template("letters-in-word")
def _letters_in_word(random: Random) -> Choice:
    word = random.choice(_WORDS)
    wrong = [f'"{word}" has {n} letters.' for n in range(3, 10)]
    return choice(random, f'How many letters does "{word}" have?', f'"{word}" has {len(word)} letters.', wrong)


@topic.template("word-with-letter")
def _word_with_letter(random: Random) -> Choice:
    letter = random.choice("bdgkmpvw")
    having, without = ([w for w in _WORDS if (letter in w) is wanted] for wanted in (True, False))
    right, wrong = random.choice(having), random.sample(without, 2)
    shown = ", ".join(sorted((right, *wrong)))
    return choice(random, f'Which word contains the letter "{letter}": {shown}?', right, wrong)


@topic.template("spelled-out")
def _spelled_out(random: Random) -> Choice:
    word = random.choice(_WORDS)
    letters = list(word)
    swapped, dropped = letters.copy(), letters[:2] + letters[3:]
    swapped[1], swapped[2] = swapped[2], swapped[1]
    doubled = letters[:2] + letters[1:]
    right, *wrong = ["-".join(each) for each in (letters, swapped, dropped, doubled)]
    return choice(random, f'Spell the word "{word}" letter by letter.', right, wrong)


@topic.template("plural-written")
def _plural_written(random: Random) -> Graded:
    word, plural = random.choice(
        (
            *(("ox", "oxen"), ("wolf", "wolves"), ("thief", "thieves"), ("shelf", "shelves"), ("hero", "heroes")),
            *(("person", "people"), ("foot", "feet"), ("louse", "lice"), ("half", "halves"), ("echo", "echoes")),
            *(("loaf", "loaves"), ("goose", "geese"), ("tooth", "teeth"), ("calf", "calves"), ("leaf", "leaves")),
        )
    )
    grader = {"kind": "contains", "value": plural, "max_words": 12}
    return Graded(f'Write the plural of "{word}".', grader, plural, f"{word}ss", max_tokens=20)
