"""Deutsch: German words, articles, verb forms, word order and short texts."""

from random import Random

from strop.evaluation.suites.templates.form import Choice, Topic, choice

topic = Topic("german")

_NAMES = ("Lena", "Jonas", "Marie", "Paul", "Sofie", "Felix", "Laura", "Tim")
_CITIES = ("Berlin", "Hamburg", "Köln", "Bremen", "Leipzig", "Dresden", "Wien", "Zürich")
_DAYS = ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag")
_NOUNS = {
    "der": ("Tisch", "Hund", "Baum", "Apfel", "Mond", "Ball", "Brief", "Stuhl"),
    "die": ("Katze", "Blume", "Tür", "Lampe", "Gabel", "Zeitung", "Uhr", "Tasche"),
    "das": ("Haus", "Buch", "Kind", "Auto", "Dorf", "Hemd", "Bild", "Fahrrad"),
}

topic.table(
    "german-english-word",
    'What does the German word "{}" mean?',
    (
        *(("Hund", "dog", "house", "hand"), ("Baum", "tree", "room", "stone"), ("Wasser", "water", "weather", "wall")),
        ("Brot", "bread", "boat", "brother"),
        ("Schule", "school", "shoe", "shadow"),
        ("Apfel", "apple", "ape", "animal"),
        ("langsam", "slow", "long", "loud"),
        ("heute", "today", "yesterday", "tomorrow"),
        ("Fenster", "window", "finger", "feast"),
        ("Freund", "friend", "fruit", "freedom"),
        ("kaufen", "to buy", "to cough", "to run"),
        ("Danke", "thank you", "goodbye", "please"),
    ),
)
topic.table(
    "german-opposite",
    'Was ist das Gegenteil von "{}"?',
    (
        *(("groß", "klein", "schön", "lang"), ("alt", "jung", "reich", "krank"), ("hell", "dunkel", "rot", "warm")),
        *(("heiß", "kalt", "weit", "laut"), ("schnell", "langsam", "stark", "spät"), ("leer", "voll", "neu", "dünn")),
        ("billig", "teuer", "ruhig", "sauber"),
        ("laut", "leise", "lang", "lieb"),
        ("nass", "trocken", "kühl", "weich"),
        *(("hart", "weich", "rund", "glatt"), ("früh", "spät", "gleich", "oft"), ("schwer", "leicht", "dick", "breit")),
    ),
)
topic.table(
    "german-plural",
    'Wie heißt die Mehrzahl von "{}"?',
    (
        ("das Haus", "die Häuser", "die Hausen", "die Hauses"),
        ("das Kind", "die Kinder", "die Kinden", "die Kinds"),
        *(("der Baum", "die Bäume", "die Baumen", "die Baums"), ("die Hand", "die Hände", "die Handen", "die Hander")),
        ("das Buch", "die Bücher", "die Buchen", "die Buchs"),
        ("der Apfel", "die Äpfel", "die Apfeln", "die Apfels"),
        *(("die Blume", "die Blumen", "die Blümer", "die Blumes"), ("das Auto", "die Autos", "die Auten", "die Äuter")),
        ("der Vater", "die Väter", "die Vatern", "die Vaters"),
        ("die Stadt", "die Städte", "die Stadten", "die Städter"),
        ("der Tisch", "die Tische", "die Tischer", "die Tischs"),
        ("die Katze", "die Katzen", "die Kätze", "die Katzes"),
    ),
)
topic.table(
    "german-capital",
    "Was ist die Hauptstadt von {}?",
    (
        *(("Deutschland", "Berlin", "Hamburg", "München"), ("Österreich", "Wien", "Graz", "Salzburg")),
        *(("Frankreich", "Paris", "Lyon", "Nizza"), ("Italien", "Rom", "Mailand", "Neapel")),
        *(("Spanien", "Madrid", "Sevilla", "Valencia"), ("Polen", "Warschau", "Krakau", "Danzig")),
        *(("England", "London", "Oxford", "Liverpool"), ("Griechenland", "Athen", "Korinth", "Sparta")),
        *(("Russland", "Moskau", "Sotschi", "Kasan"), ("Portugal", "Lissabon", "Porto", "Faro")),
    ),
)
topic.table(
    "german-participle",
    "Ergänze: Gestern habe ich {}.",
    (
        ("einen Brief ___ (schreiben)", "einen Brief geschrieben", "einen Brief geschreibt", "einen Brief schreibt"),
        ("Wasser ___ (trinken)", "Wasser getrunken", "Wasser getrinkt", "Wasser trinken"),
        ("einen Film ___ (sehen)", "einen Film gesehen", "einen Film geseht", "einen Film sah"),
        ("ein Lied ___ (singen)", "ein Lied gesungen", "ein Lied gesingt", "ein Lied singt"),
        ("das Fenster ___ (öffnen)", "das Fenster geöffnet", "das Fenster geoffen", "das Fenster öffnet"),
        ("viel ___ (arbeiten)", "viel gearbeitet", "viel gearbeit", "viel arbeitet"),
        ("ein Buch ___ (lesen)", "ein Buch gelesen", "ein Buch gelest", "ein Buch liest"),
        ("den Schlüssel ___ (finden)", "den Schlüssel gefunden", "den Schlüssel gefindet", "den Schlüssel findet"),
        ("den Bus ___ (nehmen)", "den Bus genommen", "den Bus genehmt", "den Bus nimmt"),
        ("die Tür ___ (schließen)", "die Tür geschlossen", "die Tür geschließt", "die Tür schließt"),
    ),
)
topic.table(
    "german-situation",
    "{} Was sagst du?",
    (
        ("Deine Freundin hat Geburtstag.", "Alles Gute zum Geburtstag!", "Gute Besserung!", "Guten Appetit!"),
        ("Dein Freund ist krank.", "Gute Besserung!", "Herzlichen Glückwunsch!", "Guten Appetit!"),
        ("Ihr beginnt zu essen.", "Guten Appetit!", "Gute Nacht!", "Gute Reise!"),
        ("Du gehst schlafen.", "Gute Nacht!", "Guten Morgen!", "Guten Appetit!"),
        ("Jemand fährt in den Urlaub.", "Gute Reise!", "Gute Besserung!", "Gute Nacht!"),
        ("Du triffst am Morgen den Lehrer.", "Guten Morgen!", "Gute Nacht!", "Gute Reise!"),
        ("Du bist jemandem auf den Fuß getreten.", "Entschuldigung!", "Prost!", "Willkommen!"),
        ("Ein Gast steht vor der Tür.", "Willkommen!", "Gute Nacht!", "Gute Besserung!"),
        ("Jemand hat geniest.", "Gesundheit!", "Willkommen!", "Gute Reise!"),
        ("Jemand hat dir geholfen.", "Vielen Dank!", "Guten Appetit!", "Gute Besserung!"),
    ),
)
topic.table(
    "german-spelling",
    "Welches Wort ist richtig geschrieben? Gemeint ist {}.",
    (
        ("der Tag nach Dienstag", "Mittwoch", "Mitwoch", "Mittwoche"),
        ("ein Musikinstrument mit Tasten", "Klavier", "Klawier", "Klafier"),
        ("der zweite Monat", "Februar", "Febuar", "Februahr"),
        ("ein Gerät zum Schreiben", "Füller", "Fühler", "Füler"),
        ("der Weg für Autos", "Straße", "Strase", "Strahse"),
        ("ein Tier mit langem Hals", "Giraffe", "Girafe", "Giraphe"),
        ("das Gegenteil von nie", "immer", "imer", "immmer"),
        ("eine Mahlzeit am Morgen", "Frühstück", "Früstück", "Frühstük"),
        ("der Takt der Musik", "Rhythmus", "Rythmus", "Rhytmus"),
        ("womöglich", "vielleicht", "vieleicht", "villeicht"),
        ("ein Ort zum Essen", "Restaurant", "Restorant", "Restaurand"),
        ("jemand, der unterrichtet", "Lehrer", "Lerer", "Leerer"),
    ),
)
topic.table(
    "german-rewrite",
    '"{}" Welcher Satz bedeutet dasselbe?',
    (
        ("Das Haus ist nicht alt.", "Das Haus ist neu.", "Das Haus ist sehr alt.", "Das Haus ist groß."),
        ("Er kommt nie zu spät.", "Er ist immer pünktlich.", "Er ist immer zu spät.", "Er ist selten zu Hause."),
        (
            "Sie hat den Brief bekommen.",
            "Sie hat den Brief erhalten.",
            "Sie hat den Brief geschrieben.",
            "Sie hat den Brief verloren.",
        ),
        ("Es regnet nicht mehr.", "Der Regen hat aufgehört.", "Der Regen hat begonnen.", "Der Regen ist stark."),
        ("Niemand war zu Hause.", "Das Haus war leer.", "Das Haus war voll.", "Das Haus war schön."),
        (
            "Der Hund jagt die Katze.",
            "Die Katze wird vom Hund gejagt.",
            "Der Hund wird von der Katze gejagt.",
            "Die Katze jagt den Hund.",
        ),
        (
            "Paul ist größer als Tim.",
            "Tim ist kleiner als Paul.",
            "Paul ist kleiner als Tim.",
            "Tim ist größer als Paul.",
        ),
        ("Ich mag keinen Kaffee.", "Kaffee schmeckt mir nicht.", "Kaffee schmeckt mir gut.", "Ich trinke gern Kaffee."),
        ("Die Prüfung war leicht.", "Die Prüfung war einfach.", "Die Prüfung war schwer.", "Die Prüfung war lang."),
        ("Er sprach leise.", "Er war kaum zu hören.", "Er war weit zu hören.", "Er sagte kein Wort."),
    ),
)


@topic.template("german-article")
def _article(random: Random) -> Choice:
    right = random.choice(tuple(_NOUNS))
    noun = random.choice(_NOUNS[right])
    others = [f"{each} {noun}" for each in ("der", "die", "das")]
    return choice(random, f'Welcher Artikel passt zu "{noun}"?', f"{right} {noun}", others)


@topic.template("german-accusative")
def _accusative(random: Random) -> Choice:
    article = random.choice(tuple(_NOUNS))
    noun, name = random.choice(_NOUNS[article]), random.choice(_NAMES)
    object_ = {"der": "den", "die": "die", "das": "das"}[article]
    wrong = [f"{name} sieht {each} {noun}." for each in ("den", "dem", "der", "die") if each != object_]
    return choice(random, f"Ergänze: {name} sieht ___ {noun}.", f"{name} sieht {object_} {noun}.", wrong)


@topic.template("german-verb-form")
def _verb_form(random: Random) -> Choice:
    name, city = random.choice(_NAMES), random.choice(_CITIES)
    stem, rest = random.choice((("wohn", f"in {city}"), ("spiel", "Fußball"), ("lern", "Englisch"), ("koch", "Suppe")))
    who, ending = random.choice((("ich", "e"), ("du", "st"), (name, "t"), ("wir", "en"), ("ihr", "t")))
    start = who[0].upper() + who[1:]
    right = f"{start} {stem}{ending} {rest}."
    return choice(
        random,
        f"Ergänze das Verb {stem}en: {start} ___ {rest}.",
        right,
        [f"{start} {stem}{each} {rest}." for each in ("e", "st", "t", "en") if each != ending],
    )


@topic.template("german-word-order")
def _word_order(random: Random) -> Choice:
    name, city, day = random.choice(_NAMES), random.choice(_CITIES), random.choice(_DAYS)
    start, last = random.choice((("Ich weiß, dass", True), ("Er sagt, dass", True), (f"Am {day}", False)))
    when = f"am {day} " if last else ""
    if last:
        right, *wrong = [
            f"{start} {name} {when}nach {city} fährt.",
            f"{start} {name} fährt {when}nach {city}.",
            f"{start} fährt {name} {when}nach {city}.",
        ]
    else:
        right, *wrong = [f"{start} {rest} nach {city}." for rest in (f"fährt {name}", f"{name} fährt")]
        wrong.append(f"{start} nach {city} {name} fährt.")
    return choice(random, f"Bilde einen Satz: {start} ... ({name}, {when}nach {city}, fahren).", right, wrong)


@topic.template("german-because")
def _because(random: Random) -> Choice:
    name = random.choice(_NAMES)
    effect, subject, verb, rest = random.choice(
        (
            ("bleibt zu Hause", "das Wetter", "ist", "schlecht"),
            ("geht schlafen", "der Tag", "war", "lang"),
            ("lacht", "der Film", "ist", "lustig"),
            ("wartet", "der Zug", "hat", "Verspätung"),
            ("friert", "das Fenster", "ist", "offen"),
        )
    )
    start = f"{name} {effect}, weil {subject}"
    wrong = [f"{name} {effect}, weil {verb} {subject} {rest}.", f"{name} {effect}, weil {rest} {subject} {verb}."]
    prompt = f"Verbinde mit weil: {name} {effect}. {subject[0].upper()}{subject[1:]} {verb} {rest}."
    return choice(random, prompt, f"{start} {rest} {verb}.", wrong)


@topic.template("german-number")
def _number(random: Random) -> Choice:
    tens = ("zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig")
    ones = ("zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun")
    ten, one = random.sample(range(8), 2)
    right = 10 * (ten + 2) + one + 2
    wrong = [10 * (ten + 2) + (one + 3) % 8 + 2, 10 * ((ten + 1) % 8 + 2) + one + 2]
    return choice(random, f'Schreibe "{ones[one]}und{tens[ten]}" in Ziffern.', right, wrong)


@topic.template("german-sum")
def _sum(random: Random) -> Choice:
    a, b, name = random.randint(3, 12), random.randint(2, 9), random.choice(_NAMES)
    prompt = f"{name} hat {a} Äpfel und bekommt noch {b} dazu. Wie viele Äpfel hat {name} jetzt?"
    wrong = [f"{name} hat {n} Äpfel." for n in (a + b + 1, a + b - 1, a + b + 10)]
    return choice(random, prompt, f"{name} hat {a + b} Äpfel.", wrong)


@topic.template("german-who-in-text")
def _who_in_text(random: Random) -> Choice:
    one, two, three = random.sample(_NAMES, 3)
    first, second = random.sample(_CITIES, 2)
    prompt = f"{one} wohnt in {first} und {two} wohnt in {second}. Wer wohnt in {first}?"
    wrong = [f"{name} wohnt in {first}." for name in (two, three)]
    return choice(random, prompt, f"{one} wohnt in {first}.", wrong)


@topic.template("german-next-day")
def _next_day(random: Random) -> Choice:
    today = random.randrange(7)
    when, step, verb = random.choice((("Morgen", 1, "ist"), ("Gestern", -1, "war"), ("Übermorgen", 2, "ist")))
    days = [f"{when} {verb} {_DAYS[(today + off) % 7]}." for off in (step, -step, 3)]
    return choice(random, f"Heute ist {_DAYS[today]}. Welcher Tag {verb} {when.lower()}?", days[0], days[1:])
