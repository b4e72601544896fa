"""Reading short Python programs."""

from random import Random

from strop.evaluation.suites.templates.form import Choice, Graded, Topic, choice, near

topic = Topic("code")
_ASK = "What does this Python code print?"
_WORDS = ("apple", "river", "tiger", "lemon", "house", "green", "cloud", "bread", "night", "stone")


def _prints(random: Random, code: str, right: object, wrong: list[object], count: int = 2) -> Choice:
    return choice(random, f"{_ASK}\n{code}", f"It prints {right}", [f"It prints {each}" for each in wrong], count)


@topic.template("code-list-index")
def _list_index(random: Random) -> Choice:
    words = random.sample(_WORDS, 3)
    place = random.randrange(-1, 2)
    right = words[place]
    return _prints(random, f"words = {words}\nprint(words[{place}])", right, [*words])


@topic.template("code-string-index")
def _string_index(random: Random) -> Choice:
    word, place = random.choice(_WORDS), random.choice((0, 0, -1, 1))
    return _prints(random, f'word = "{word}"\nprint(word[{place}])', word[place], [*word])


@topic.template("code-slice")
def _slice(random: Random) -> Choice:
    word, cut = random.choice(_WORDS), random.randint(2, 3)
    code = random.choice((f"word[:{cut}]", f"word[{cut}:]"))
    parts = {f"word[:{cut}]": word[:cut], f"word[{cut}:]": word[cut:]}
    wrong: list[object] = [*(part for each, part in parts.items() if each != code), word[1 : cut + 1]]
    return _prints(random, f'word = "{word}"\nprint({code})', parts[code], wrong)


@topic.template("code-dict-lookup")
def _dict_lookup(random: Random) -> Choice:
    keys, values = random.sample(_WORDS, 3), random.sample(range(2, 30), 3)
    prices = dict(zip(keys, values, strict=True))
    return _prints(random, f'prices = {prices}\nprint(prices["{keys[1]}"])', values[1], [*values])


@topic.template("code-comparison")
def _comparison(random: Random) -> Choice:
    a, b = random.sample(range(2, 30), 2)
    sign = random.choice((">", "<"))
    value = a > b if sign == ">" else a < b
    return _prints(random, f"print({a} {sign} {b})", value, [not value, "None"])


@topic.template("code-modulo")
def _modulo(random: Random) -> Choice:
    a, b = random.randint(13, 50), random.randint(3, 6)
    return _prints(random, f"print({a} % {b})", a % b, [a // b, a % b + 1, a - b])


@topic.template("code-append")
def _append(random: Random) -> Choice:
    numbers, more = random.sample(range(1, 10), 2), random.randint(11, 20)
    wrong: list[object] = [[more, *numbers], numbers, [*numbers, numbers[0]]]
    return _prints(random, f"items = {numbers}\nitems.append({more})\nprint(items)", [*numbers, more], wrong)


@topic.template("code-list-length")
def _list_length(random: Random) -> Choice:
    words = random.sample(_WORDS, random.randint(2, 6))
    return _prints(random, f"words = {words}\nprint(len(words))", len(words), list(range(2, 8)))


@topic.template("code-max-min")
def _max_min(random: Random) -> Choice:
    numbers, name = random.sample(range(3, 60), 4), random.choice(("max", "min"))
    right = max(numbers) if name == "max" else min(numbers)
    return _prints(random, f"print({name}({numbers}))", right, [*numbers])


@topic.template("code-sorted")
def _sorted(random: Random) -> Choice:
    numbers = random.sample(range(1, 30), 3)
    ups = sorted(numbers)
    wrong: list[object] = [sorted(numbers, reverse=True), [ups[1], ups[0], ups[2]], [ups[0], ups[2], ups[1]]]
    return _prints(random, f"print(sorted({numbers}))", ups, wrong)


@topic.template("code-upper-lower")
def _upper_lower(random: Random) -> Choice:
    word, name = random.choice(_WORDS).capitalize(), random.choice(("upper", "lower"))
    forms: list[object] = [word.upper(), word.lower(), word]
    return _prints(random, f'print("{word}".{name}())', word.upper() if name == "upper" else word.lower(), forms)


@topic.template("code-repeat-string")
def _repeat_string(random: Random) -> Choice:
    word, times = random.choice(("ha", "bo", "na", "la", "tick", "go")), random.randint(2, 4)
    wrong: list[object] = [word * (times + 1), f"{word}{times}", word]
    return _prints(random, f'print("{word}" * {times})', word * times, wrong)


@topic.template("code-f-string")
def _f_string(random: Random) -> Choice:
    name, age = random.choice(("Anna", "Ben", "Clara", "David")), random.randint(6, 60)
    code = f'name = "{name}"\nage = {age}\nprint(f"{{name}} is {{age}}")'
    return _prints(random, code, f"{name} is {age}", ["name is age", f"{{name}} is {age}", f"{age} is {name}"])


@topic.template("code-range-list")
def _range_list(random: Random) -> Choice:
    start, length = random.randint(0, 5), random.randint(3, 4)
    right = list(range(start, start + length))
    wrong: list[object] = [[*right, right[-1] + 1], [n + 1 for n in right], right[:-1]]
    return _prints(random, f"print(list(range({start}, {start + length})))", right, wrong)


@topic.template("code-function-call")
def _function_call(random: Random) -> Choice:
    a, b = random.randint(2, 9), random.randint(2, 9)
    sign, value = random.choice((("+", a + b), ("*", a * b)))
    code = f"def mix(a, b):\n    return a {sign} b\n\nprint(mix({a}, {b}))"
    return _prints(random, code, value, [*near(random, value, (1, 2)), f"{a}{b}"])


@topic.template("code-if-else")
def _if_else(random: Random) -> Choice:
    limit, value = random.randint(10, 20), random.choice((3, 5, 8, 25, 30, 41))
    big, small = random.choice((("warm", "cold"), ("high", "low"), ("late", "early"), ("full", "empty")))
    code = f'n = {value}\nif n > {limit}:\n    print("{big}")\nelse:\n    print("{small}")'
    return _prints(random, code, big if value > limit else small, [big, small, "nothing"])


@topic.template("code-replace")
def _replace(random: Random) -> Choice:
    word, other, third = random.sample(_WORDS, 3)
    code = f'text = "a {word} here"\nprint(text.replace("{word}", "{other}"))'
    return _prints(random, code, f"a {other} here", [f"a {third} here", f"here a {other}", f"a {other}{word}"])


topic.table(
    "code-which-line",
    "Which line of Python {}?",
    (
        ("makes an empty list", "items = []", "items = {}", "items = ()"),
        ("adds 1 to n", "n = n + 1", "n == n + 1", "n + 1 = n"),
        ("compares a with 5", "a == 5", "a = 5", "a : 5"),
        ("imports the module math", "import math", "include math", "require math"),
        ("starts a function", "def run():", "function run():", "func run() ="),
        ("opens a loop over items", "for item in items:", "for item of items:", "foreach item items:"),
        ("writes a comment", "# a comment", "// a comment", "<!-- a comment"),
        ("asks the user for text", 'input("Name? ")', 'print("Name? ")', 'scan("Name? ")'),
        ("turns text into a number", 'int("12")', 'str("12")', 'list("12")'),
        ("makes a dictionary", 'd = {"a": 1}', 'd = ["a", 1]', 'd = ("a", 1)'),
        ("checks that a is not b", "a != b", "a =! b", "a <=> b"),
        ("joins two strings", '"a" + "b"', '"a" & "b"', '"a" . "b"'),
    ),
)


@topic.template("code-print-written")
def _print_written(random: Random) -> Graded:
    a, b = random.randint(2, 9), random.randint(2, 9)
    grader = {"kind": "number", "value": a + b}
    prompt = f"{_ASK} Give only the output.\na = {a}\nb = {b}\nprint(a + b)"
    return Graded(prompt, grader, str(a + b), str(a + b + 1), max_tokens=12)
