"""Sums in numbers and in small stories."""

from random import Random

from strop.evaluation.suites.templates.form import Choice, Graded, Topic, choice, near
from strop.evaluation.suites.templates.lexicon import FRUITS, NAMES, THINGS

topic = Topic("arithmetic")


@topic.template("sum-written-out")
def _sum_written_out(random: Random) -> Choice:
    a, b = random.randint(25, 99), random.randint(25, 99)
    wrong = [f"{a} + {b} = {n}" for n in near(random, a + b, (1, 2, 10))]
    return choice(random, f"Add {a} and {b}.", f"{a} + {b} = {a + b}", wrong)


@topic.template("difference-written-out")
def _difference_written_out(random: Random) -> Choice:
    a, b = random.randint(50, 99), random.randint(12, 48)
    wrong = [f"{a} - {b} = {n}" for n in near(random, a - b, (1, 2, 3))]
    return choice(random, f"Subtract {b} from {a}.", f"{a} - {b} = {a - b}", wrong)


@topic.template("product-written-out")
def _product_written_out(random: Random) -> Choice:
    a, b = random.randint(7, 19), random.randint(6, 12)
    wrong = [f"{a} x {b} = {n}" for n in (a * b + a, a * b - b, a * b + 2)]
    return choice(random, f"Multiply {a} by {b}.", f"{a} x {b} = {a * b}", wrong)


@topic.template("percent-of")
def _percent_of(random: Random) -> Choice:
    percent, whole = random.choice((5, 15, 30, 75)), random.randrange(40, 400, 20)
    part = percent * whole // 100
    wrong = [f"{percent} percent of {whole} is {n}." for n in near(random, part, (1, 5, 10))]
    return choice(
        random, f"How much is {percent} percent of {whole}?", f"{percent} percent of {whole} is {part}.", wrong
    )


@topic.template("change-given")
def _change_given(random: Random) -> Choice:
    price, paid, thing = random.randint(3, 18), random.choice((20, 50)), random.choice(THINGS)
    prompt = f"A {thing} costs {price} euros. You pay with {paid} euros. How much change do you get?"
    wrong = [f"You get {n} euros." for n in near(random, paid - price, (1, 2, 10))]
    return choice(random, prompt, f"You get {paid - price} euros.", wrong)


@topic.template("average-of-two")
def _average_of_two(random: Random) -> Choice:
    middle, step = random.randint(5, 40), random.randint(1, 5)
    prompt = f"What is the average of {middle - step} and {middle + step}?"
    wrong = [f"The average is {n}." for n in (2 * middle, middle + step + 3, abs(middle - step - 2))]
    return choice(random, prompt, f"The average is {middle}.", wrong)


@topic.template("remainder")
def _remainder(random: Random) -> Choice:
    by = random.randint(3, 6)
    whole = by * random.randint(3, 9) + random.randint(1, by - 1)
    prompt = f"{whole} {random.choice(FRUITS)} are shared equally among {by} children. How many are left over?"
    wrong = [f"{n} left over" for n in range(1, 8)]
    return choice(random, prompt, f"{whole % by} left over", wrong)


@topic.template("even-or-odd")
def _even_or_odd(random: Random) -> Choice:
    kind = random.randrange(2)
    base = [2 * n for n in random.sample(range(10, 50), 3)]
    wrong = [n + 1 - kind for n in base[1:]]
    shown = ", ".join(map(str, sorted((base[0] + kind, *wrong))))
    return choice(random, f"Which of these is an {('even', 'odd')[kind]} number: {shown}?", base[0] + kind, wrong)


@topic.template("largest-number")
def _largest_number(random: Random) -> Choice:
    numbers = random.sample(range(11, 99), 3)
    shown = f"{numbers[0]}, {numbers[1]} or {numbers[2]}"
    answers = {n: f"{n} is the largest." for n in numbers}
    return choice(random, f"Which number is the largest: {shown}?", answers[max(numbers)], list(answers.values()))


@topic.template("smallest-decimal")
def _smallest_decimal(random: Random) -> Choice:
    numbers = [f"{random.randint(1, 9)}.{tail}" for tail in random.sample(range(1, 10), 3)]
    answers = {float(n): f"{n} is the smallest." for n in numbers}
    right = answers[min(answers)]
    return choice(random, f"Which number is the smallest: {', '.join(numbers)}?", right, list(answers.values()))


@topic.template("round-to-ten")
def _round_to_ten(random: Random) -> Choice:
    tens, ones = random.randint(1, 9), random.choice((1, 2, 3, 4, 6, 7, 8, 9))
    right = 10 * (tens + (ones > 5))
    wrong = [right + 10, right - 10, right + 5]
    return choice(random, f"Round {10 * tens + ones} to the nearest ten.", right, wrong)


@topic.template("square-of")
def _square_of(random: Random) -> Choice:
    n = random.randint(6, 25)
    wrong = [f"{n} squared is {m}." for m in (n * n - n, n * n + n, n * n - 2)]
    return choice(random, f"What is {n} squared?", f"{n} squared is {n * n}.", wrong)


@topic.template("fraction-of")
def _fraction_of(random: Random) -> Choice:
    word, by = random.choice((("half", 2), ("a third", 3), ("a quarter", 4), ("a fifth", 5)))
    part = random.randint(2, 15)
    prompt = f"What is {word} of {by * part}?"
    return choice(random, prompt, part, near(random, part, (1, 2, 3)))


@topic.template("area-of-rectangle")
def _area_of_rectangle(random: Random) -> Choice:
    a, b = random.sample(range(3, 13), 2)
    prompt = f"A rectangle is {a} metres long and {b} metres wide. What is its area?"
    wrong = [f"{n} square metres" for n in (a + b, 2 * (a + b), a * b + a)]
    return choice(random, prompt, f"{a * b} square metres", wrong)


@topic.template("which-sum-makes")
def _which_sum_makes(random: Random) -> Choice:
    total = random.randint(10, 20)
    parts = random.sample(range(2, total - 1), 3)
    wrong = [f"{a} + {total - a + off}" for a, off in zip(parts[1:], random.sample((-2, -1, 1, 2), 2), strict=True)]
    right = f"{parts[0]} + {total - parts[0]}"
    return choice(random, f"Which makes {total}: {', '.join(sorted((right, *wrong)))}?", right, wrong)


_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ONES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@topic.template("number-words-to-digits")
def _number_words_to_digits(random: Random) -> Choice:
    ten, one = random.randrange(8), random.randrange(9)
    right = 10 * (ten + 2) + one + 1
    wrong = [right + 100, right + 20, right + 3]
    return choice(random, f'Write "{_TENS[ten]}-{_ONES[one]}" in digits.', right, wrong)


@topic.template("hundreds-in-words")
def _hundreds_in_words(random: Random) -> Choice:
    hundred, ten = random.sample(range(8), 2)
    prompt = f"Write {(hundred + 1) * 100 + (ten + 2) * 10} in words."
    words = [(hundred, ten), (max(0, ten - 1), hundred), (hundred, (ten + 3) % 8), ((hundred + 2) % 9, ten)]
    answers = [f"{_ONES[a]} hundred and {_TENS[b]}" for a, b in words]
    return choice(random, prompt, answers[0], answers[1:])


@topic.template("price-of-several")
def _price_of_several(random: Random) -> Choice:
    count, price, name = random.randint(4, 12), random.randint(6, 15), random.choice(NAMES)
    prompt = f"{name} buys {count} notebooks at {price} euros each. How much does {name} pay?"
    wrong = [f"{name} pays {n} euros." for n in (count * price - price, count * price + price, count * price - 2)]
    return choice(random, prompt, f"{name} pays {count * price} euros.", wrong)


@topic.template("two-steps")
def _two_steps(random: Random) -> Choice:
    start, gave, got = random.randint(8, 15), random.randint(2, 6), random.randint(2, 6)
    name, fruit = random.choice(NAMES), random.choice(FRUITS)
    prompt = f"{name} has {start} {fruit}, eats {gave} and then buys {got} more. How many does {name} have now?"
    right = start - gave + got
    wrong = [f"{name} has {n} {fruit}." for n in near(random, right, (1, 2, gave + got))]
    return choice(random, prompt, f"{name} has {right} {fruit}.", wrong)


@topic.template("double-written")
def _double_written(random: Random) -> Graded:
    n = random.randint(3, 30)
    grader = {"kind": "number", "value": 2 * n}
    return Graded(f"What is {n} + {n}? Give only the number.", grader, str(2 * n), str(2 * n + 1), max_tokens=12)


@topic.template("add-ten-written")
def _add_ten_written(random: Random) -> Graded:
    n = random.randint(11, 89)
    grader = {"kind": "number", "value": n + 10}
    return Graded(f"Add 10 to {n}. Give only the result.", grader, str(n + 10), str(n + 1), max_tokens=16)
