"""Units of measure, clock times and dates."""

from datetime import date, timedelta
from random import Random

from strop.evaluation.suites.templates.form import Choice, Graded, Topic, choice, near
from strop.evaluation.suites.templates.lexicon import MONTHS, NAMES, WEEKDAYS

topic = Topic("arithmetic")


def _conversion(name: str, many: str, one: str, factor: int) -> None:
    """A template that turns `many` into `one`, of which `factor` make one of `many`."""

    def draw(random: Random) -> Choice:
        n = random.randint(3, 30)
        right = n * factor
        wrong = [f"{n} {many} are {m} {one}." for m in (right - factor, right + factor, right + 2 * factor)]
        return choice(random, f"How many {one} are {n} {many}?", f"{n} {many} are {right} {one}.", wrong)

    topic.template(name)(draw)


_conversion("metres-to-centimetres", "metres", "centimetres", 100)
_conversion("hours-to-minutes", "hours", "minutes", 60)
_conversion("weeks-to-days", "weeks", "days", 7)
_conversion("years-to-months", "years", "months", 12)
_conversion("kilograms-to-grams", "kilograms", "grams", 1000)


@topic.template("dozen")
def _dozen(random: Random) -> Choice:
    n, thing = random.randint(2, 9), random.choice(("eggs", "rolls", "roses", "pencils"))
    wrong = [f"{m} {thing}" for m in (10 * n, 12 * n + 12, 12 + n)]
    return choice(random, f"How many {thing} are in {n} dozen?", f"{12 * n} {thing}", wrong)


@topic.template("minutes-later")
def _minutes_later(random: Random) -> Choice:
    start, wait = random.randrange(7 * 60, 20 * 60, 5), random.choice((10, 15, 20, 30, 45))
    wrong = [f"It will be {_clock(start + wait + off)}." for off in (-5, 5, 60)]
    prompt = f"It is {_clock(start)}. What time will it be in {wait} minutes?"
    return choice(random, prompt, f"It will be {_clock(start + wait)}.", wrong)


@topic.template("afternoon-in-24-hours")
def _afternoon_in_24_hours(random: Random) -> Choice:
    hour, minute = random.randint(1, 11), random.choice((0, 15, 30, 45))
    wrong = [_clock(60 * other + minute) for other in (hour + 10, hour + 11, hour)]
    prompt = f"Write {hour}:{minute:02} pm in the 24-hour clock."
    return choice(random, prompt, _clock(60 * (hour + 12) + minute), wrong)


@topic.template("clock-in-words")
def _clock_in_words(random: Random) -> Choice:
    hour, minute = random.randint(1, 11), random.choice((15, 30, 45))
    says = {15: f"quarter past {hour}", 30: f"half past {hour}", 45: f"quarter to {hour + 1}"}
    wrong = {15: f"quarter to {hour}", 30: f"half past {hour + 1}", 45: f"quarter past {hour}"}
    more = [wrong[minute], f"ten to {hour + 1}", f"twenty past {hour}"]
    return choice(random, f"How do you say {hour}:{minute:02} in words?", says[minute], more)


@topic.template("how-long")
def _how_long(random: Random) -> Choice:
    start, hours = random.randrange(8 * 60, 15 * 60, 30), random.randint(2, 6)
    what = random.choice(("meeting", "course", "flight", "concert", "match"))
    prompt = f"The {what} starts at {_clock(start)} and ends at {_clock(start + 60 * hours)}. How long does it take?"
    wrong = [f"It takes {n} hours." for n in range(1, 9)]
    return choice(random, prompt, f"It takes {hours} hours.", wrong)


@topic.template("date-tomorrow", "reasoning")
def _date_tomorrow(random: Random) -> Choice:
    first = date(2023, random.randint(2, 12), 1)
    today = first - timedelta(days=random.randint(1, 4))
    days = [today + timedelta(days=off) for off in (1, 2, -1, 11)]
    right, *wrong = [f"Tomorrow is {day.day} {MONTHS[day.month - 1]}." for day in days]
    return choice(random, f"Today is {today.day} {MONTHS[today.month - 1]} 2023. What date is tomorrow?", right, wrong)


@topic.template("weekday-after", "reasoning")
def _weekday_after(random: Random) -> Choice:
    today, ahead = random.randrange(7), random.randint(2, 5)
    prompt = f"Today is {WEEKDAYS[today]}. Which day is it in {ahead} days?"
    return choice(random, prompt, WEEKDAYS[(today + ahead) % 7], [day for day in WEEKDAYS if day != WEEKDAYS[today]])


@topic.template("month-before", "reasoning")
def _month_before(random: Random) -> Choice:
    month, step = random.randrange(12), random.choice((-1, 1))
    prompt = f"Which month comes right {'before' if step < 0 else 'after'} {MONTHS[month]}?"
    wrong = [MONTHS[(month + off) % 12] for off in (2 * step, 3 * step, 5)]
    return choice(random, prompt, MONTHS[(month + step) % 12], wrong)


@topic.template("date-in-iso", "instructions")
def _date_in_iso(random: Random) -> Choice:
    day, month, year = random.randint(13, 28), random.randint(1, 12), random.randint(1990, 2030)
    right = f"{year}-{month:02}-{day}"
    wrong = (f"{day}-{month:02}-{year}", f"{year}-{day}-{month:02}", f"{year}-{month % 12 + 1:02}-{day}")
    return choice(random, f"Write {day} {MONTHS[month - 1]} {year} as YYYY-MM-DD.", right, wrong)


@topic.template("days-in-month", "facts")
def _days_in_month(random: Random) -> Choice:
    month, year = random.randint(1, 12), random.randint(2001, 2030)
    days = (date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)).day
    prompt = f"How many days did {MONTHS[month - 1]} {year} have?"
    if year > 2025:
        prompt = f"How many days does {MONTHS[month - 1]} {year} have?"
    return choice(random, prompt, f"{days} days", [f"{n} days" for n in (28, 29, 30, 31)])


@topic.template("century-of-year", "facts")
def _century_of_year(random: Random) -> Choice:
    year = random.randint(1401, 1999)
    names = {15: "15th", 16: "16th", 17: "17th", 18: "18th", 19: "19th", 20: "20th", 21: "21st", 14: "14th"}
    right = (year - 1) // 100 + 1
    wrong = [f"The {names[n]} century" for n in (right - 1, right + 1)]
    return choice(random, f"In which century was the year {year}?", f"The {names[right]} century", wrong)


@topic.template("born-and-age")
def _born_and_age(random: Random) -> Choice:
    born, age, name = random.randint(1950, 2000), random.randint(5, 40), random.choice(NAMES)
    prompt = f"{name} was born in {born}. In which year did {name} turn {age}?"
    wrong = [f"{name} turned {age} in {n}." for n in near(random, born + age, (1, 2, 10))]
    return choice(random, prompt, f"{name} turned {age} in {born + age}.", wrong)


@topic.template("days-between")
def _days_between(random: Random) -> Choice:
    first, days, month = random.randint(2, 14), random.randint(3, 12), random.choice(MONTHS)
    prompt = f"How many days are there from {first} {month} to {first + days} {month}?"
    wrong = [f"{n} days" for n in (*near(random, days, (1, 2)), first + days)]
    return choice(random, prompt, f"{days} days", wrong)


@topic.template("half-hour-written")
def _half_hour_written(random: Random) -> Graded:
    hour = random.randint(7, 21)
    prompt = f"It is {hour}:00. What time is it 30 minutes later? Answer like HH:MM."
    grader = {"kind": "contains", "value": [f"{hour}:30", f"{hour:02}:30"], "max_words": 16}
    return Graded(prompt, grader, f"{hour}:30", f"{hour + 1}:00", max_tokens=24)


topic.table(
    "unit-for-measuring",
    "In which unit do you measure {}?",
    (
        ("the length of a road", "In kilometres", "In kilograms", "In litres"),
        ("the weight of a person", "In kilograms", "In kilometres", "In seconds"),
        ("the milk in a bottle", "In litres", "In metres", "In degrees"),
        ("the temperature of a room", "In degrees", "In litres", "In grams"),
        ("the time of a sprint", "In seconds", "In grams", "In litres"),
        ("the flour for a cake", "In grams", "In hours", "In metres"),
        ("the height of a door", "In metres", "In litres", "In minutes"),
        ("the time of a long flight", "In hours", "In grams", "In metres"),
        ("the speed of a car", "In kilometres an hour", "In kilograms a litre", "In degrees a day"),
        ("the size of a flat", "In square metres", "In millilitres", "In degrees"),
        ("the brightness of a bulb", "In lumens", "In litres", "In grams"),
        ("electric power", "In watts", "In metres", "In litres"),
    ),
    suite="facts",
)


def _clock(minutes: int) -> str:
    return f"{minutes // 60 % 24}:{minutes % 60:02}"
