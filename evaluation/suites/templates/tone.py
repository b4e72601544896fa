"""Feelings, tone and what fits a situation."""

from random import Random

from strop.evaluation.suites.templates.form import Choice, Topic, choice
from strop.evaluation.suites.templates.lexicon import NAMES, THINGS

topic = Topic("sentiment_and_tone")


@topic.template("review-of-thing")
def _review_of_thing(random: Random) -> Choice:
    thing = random.choice(THINGS)
    good = (
        "I use it every day and love it",
        "Worth every cent",
        "The best one I ever had",
        "It looks great and works well",
    )
    bad = ("It broke after a day", "A waste of money", "I sent it back at once", "It smells and makes noise")
    kind = random.randrange(2)
    answers = (f"The review of the {thing} is positive.", f"The review of the {thing} is negative.")
    prompt = f'A customer writes about a {thing}: "{random.choice((good, bad)[kind])}." How is the review?'
    return choice(random, prompt, answers[kind], [answers[1 - kind], f"The review of the {thing} is neutral."])


@topic.template("reply-to-news")
def _reply_to_news(random: Random) -> Choice:
    name = random.choice(NAMES)
    good = ("passed the exam", "got the job", "had a healthy baby", "won the race")
    bad = ("lost a job", "failed the exam", "broke an arm", "lost the dog")
    kind = random.randrange(2)
    news = random.choice((good, bad)[kind])
    answers = (f"That is wonderful, {name}!", f"I am so sorry, {name}.")
    return choice(
        random,
        f'{name} tells you: "I {news}." What do you say?',
        answers[kind],
        [answers[1 - kind], f"Who cares, {name}?"],
    )


topic.table(
    "letter-opening",
    "You write to {}. Which opening fits?",
    (
        ("the mayor of the town", "Dear Madam Mayor,", "Hey you,", "Yo mate,"),
        ("your best friend", "Hi there,", "To whom it may concern,", "Your Excellency,"),
        ("a bank that you do not know", "Dear Sir or Madam,", "Hi sweetie,", "Hey guys,"),
        ("your grandmother", "Dear Grandma,", "Dear Sir or Madam,", "Attention, customer,"),
        ("your teacher", "Dear Mr Brown,", "Hey dude,", "My darling,"),
        ("a judge", "Your Honour,", "Hi buddy,", "Hello honey,"),
        ("all the people in your team", "Dear colleagues,", "Dear Grandma,", "Your Majesty,"),
        ("a customer who complains", "Dear customer,", "Oh, you again,", "Hey pal,"),
        ("your little brother", "Hey little one,", "Dear customer,", "Your Honour,"),
        ("a queen", "Your Majesty,", "Hey girl,", "Dear colleagues,"),
    ),
)
topic.table(
    "stronger-word",
    'Choose a word that says more than "{}".',
    (
        *(
            ("warm", "boiling", "mild", "tepid"),
            ("good", "excellent", "okay", "decent"),
            ("bad", "terrible", "poor", "weak"),
        ),
        *(
            ("big", "gigantic", "medium", "sizeable"),
            ("tired", "exhausted", "sleepy", "drowsy"),
            ("angry", "furious", "annoyed", "irritated"),
        ),
        *(
            ("small", "microscopic", "little", "short"),
            ("hungry", "starving", "peckish", "unfed"),
            ("cold", "freezing", "cool", "chilly"),
        ),
        *(
            ("happy", "overjoyed", "content", "pleased"),
            ("funny", "hilarious", "amusing", "droll"),
            ("afraid", "terrified", "uneasy", "nervous"),
        ),
    ),
)
topic.table(
    "speaker-feels",
    'Someone says: "{}" How do they feel?',
    (
        ("I cannot wait for tomorrow!", "Excited", "Bored", "Angry"),
        ("Leave me alone, all of you!", "Angry", "Happy", "Proud"),
        ("I wish you were still here.", "Sad", "Proud", "Amused"),
        ("What was that noise in the dark?", "Scared", "Happy", "Bored"),
        ("I did it, all by myself!", "Proud", "Sad", "Scared"),
        ("Again the same old story.", "Bored", "Scared", "Thankful"),
        ("How can I ever repay you?", "Thankful", "Angry", "Bored"),
        ("I should never have said that.", "Sorry", "Proud", "Excited"),
        ("You brought flowers? For me?", "Surprised", "Bored", "Angry"),
        ("Nobody ever calls me.", "Lonely", "Amused", "Proud"),
        ("Why did she get it and not me?", "Jealous", "Calm", "Amused"),
        ("At last it is over. I can breathe again.", "Relieved", "Jealous", "Angry"),
    ),
)
topic.table(
    "speech-act",
    '"{}" What is the speaker doing?',
    (
        ("I would be glad if you came along.", "Inviting someone", "Warning someone", "Blaming someone"),
        ("Do not touch that, it is hot!", "Warning someone", "Thanking someone", "Praising someone"),
        ("You did that really well.", "Praising someone", "Warning someone", "Blaming someone"),
        ("It was you who broke it.", "Blaming someone", "Inviting someone", "Thanking someone"),
        ("That was very kind of you.", "Thanking someone", "Blaming someone", "Warning someone"),
        ("I promise to be there at eight.", "Making a promise", "Making a joke", "Making a complaint"),
        ("The soup is cold and I waited an hour.", "Making a complaint", "Making a promise", "Making a wish"),
        ("I am sorry that I came late.", "Making an apology", "Making a threat", "Making an offer"),
        ("Shall I carry your bag?", "Making an offer", "Making a threat", "Making a complaint"),
        ("Do that again and you will regret it.", "Making a threat", "Making an offer", "Making an apology"),
        ("If I were you, I would see a doctor.", "Giving advice", "Giving thanks", "Giving orders"),
        ("Clean your room at once!", "Giving orders", "Giving thanks", "Giving praise"),
    ),
)
