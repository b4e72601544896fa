"""Short facts and common sense, from tables."""

from strop.evaluation.suites.templates.form import Topic

topic = Topic("facts")

topic.table(
    "language-of-country",
    "Which language do most people speak in {}?",
    (
        ("Brazil", "Portuguese", "Spanish", "French"),
        ("Austria", "German", "Dutch", "Czech"),
        ("Mexico", "Spanish", "English", "Italian"),
        ("Iran", "Persian", "Arabic", "Turkish"),
        ("Egypt", "Arabic", "Greek", "French"),
        ("Israel", "Hebrew", "Persian", "Greek"),
        ("Chile", "Spanish", "Portuguese", "French"),
        ("Angola", "Portuguese", "Spanish", "Italian"),
        ("Cyprus", "Greek", "Arabic", "Italian"),
        ("Australia", "English", "Dutch", "French"),
        ("Poland", "Polish", "German", "Russian"),
        ("Vietnam", "Vietnamese", "Japanese", "Korean"),
    ),
)
topic.table(
    "currency-of-country",
    "What is the money of {} called?",
    (
        ("Japan", "The yen", "The won", "The yuan"),
        ("India", "The rupee", "The rouble", "The peso"),
        ("Poland", "The zloty", "The krone", "The euro"),
        ("Mexico", "The peso", "The real", "The dollar"),
        ("Brazil", "The real", "The peso", "The euro"),
        ("Norway", "The krone", "The franc", "The euro"),
        ("Switzerland", "The franc", "The krone", "The euro"),
        ("Turkey", "The lira", "The dinar", "The rupee"),
        ("South Korea", "The won", "The yen", "The yuan"),
        ("Russia", "The rouble", "The zloty", "The lira"),
        ("Canada", "The dollar", "The pound", "The euro"),
        ("Ireland", "The euro", "The pound", "The krone"),
    ),
)
topic.table(
    "continent-of-country",
    "On which continent is {}?",
    (
        *(("Kenya", "Africa"), ("Peru", "South America"), ("Mongolia", "Asia"), ("Hungary", "Europe")),
        *(("Morocco", "Africa"), ("Bolivia", "South America"), ("Nepal", "Asia"), ("Denmark", "Europe")),
        *(("Ghana", "Africa"), ("Uruguay", "South America"), ("Vietnam", "Asia"), ("Portugal", "Europe")),
        *(("Canada", "North America"), ("Zambia", "Africa"), ("Jordan", "Asia"), ("Slovenia", "Europe")),
    ),
)
topic.table(
    "young-of-animal",
    "What is a young {} called?",
    (
        *(("cow", "A calf"), ("sheep", "A lamb"), ("horse", "A foal"), ("dog", "A puppy"), ("cat", "A kitten")),
        *(("goat", "A kid"), ("pig", "A piglet"), ("bear", "A cub"), ("frog", "A tadpole"), ("duck", "A duckling")),
        *(("deer", "A fawn"), ("kangaroo", "A joey"), ("goose", "A gosling"), ("swan", "A cygnet")),
    ),
)
topic.table(
    "home-of-animal",
    "Where does a {} live?",
    (
        ("bee", "In a hive", "In a stable", "In a kennel"),
        ("horse", "In a stable", "In a nest", "In a hive"),
        ("bear", "In a den", "In a hive", "In a web"),
        ("rabbit", "In a burrow", "In a nest", "In a stable"),
        ("spider", "In a web", "In a stable", "In a den"),
        ("pig", "In a sty", "In a nest", "In a hive"),
        ("goldfish", "In a bowl", "In a sty", "In a barn"),
        ("blackbird", "In a nest", "In a hive", "In a sty"),
        ("shark", "In the sea", "In the sand", "In the trees"),
        ("camel", "In the desert", "In the sea", "In the ice"),
        ("penguin", "On the ice", "In the desert", "In the jungle"),
        ("monkey", "In the trees", "In the sea", "In the snow"),
    ),
)
topic.table(
    "organ-function",
    "What does the {} do in the body?",
    (
        ("heart", "It pumps blood.", "It filters light.", "It digests food."),
        ("stomach", "It digests food.", "It pumps blood.", "It stores memories."),
        ("skin", "It protects the body.", "It digests food.", "It controls thoughts."),
        ("brain", "It controls the body.", "It cleans the blood.", "It digests food."),
        ("ear", "It picks up sounds.", "It picks up light.", "It pumps blood."),
        ("eye", "It takes in light.", "It makes blood.", "It moves food."),
        ("nose", "It takes in smells.", "It takes in light.", "It grinds food."),
        ("kidney", "It cleans the blood.", "It picks up sounds.", "It moves the arm."),
        ("tongue", "It tastes food.", "It hears sounds.", "It pumps blood."),
        ("skull", "It protects the brain.", "It protects the heart.", "It digests food."),
        ("knee", "It bends the leg.", "It turns the head.", "It bends the arm."),
        ("elbow", "It bends the arm.", "It bends the leg.", "It turns the head."),
    ),
)
topic.table(
    "colours-mixed",
    "Which colour do you get when you mix {}?",
    (
        ("red and yellow paint", "Orange", "Green", "Purple"),
        ("blue and yellow paint", "Green", "Orange", "Purple"),
        ("red and blue paint", "Purple", "Green", "Orange"),
        ("black and white paint", "Grey", "Brown", "Pink"),
        ("red and white paint", "Pink", "Grey", "Purple"),
        ("yellow paint with a lot of red", "Orange", "Blue", "Green"),
        ("blue paint with a lot of white", "Light blue", "Dark blue", "Dark red"),
        ("red and green paint", "Brown", "Blue", "White"),
    ),
)
topic.table(
    "sides-of-shape",
    "How many sides does a {} have?",
    (
        *(("triangle", "Three"), ("square", "Four"), ("pentagon", "Five"), ("hexagon", "Six")),
        *(("octagon", "Eight"), ("rectangle", "Four"), ("heptagon", "Seven"), ("decagon", "Ten")),
    ),
)
topic.table(
    "instrument-family",
    "How do you play a {}?",
    (
        ("flute", "You blow into it.", "You hit it with sticks.", "You pull its strings."),
        ("drum", "You hit it with sticks.", "You blow into it.", "You pull its strings."),
        ("harp", "You pluck its strings.", "You blow into it.", "You hit it with sticks."),
        ("violin", "You move a bow over it.", "You blow air into it.", "You shake it by hand."),
        ("trumpet", "You blow into it.", "You pluck its strings.", "You shake it."),
        ("piano", "You press its keys.", "You blow into it.", "You shake it."),
        ("cello", "You move a bow over it.", "You blow air into it.", "You press its keys."),
        ("recorder", "You blow into it.", "You shake it.", "You pluck its strings."),
        ("xylophone", "You hit its bars.", "You blow into it.", "You turn its wheel."),
        ("guitar", "You pluck its strings.", "You blow into it.", "You hit it with sticks."),
        ("tambourine", "You shake and tap it.", "You blow into it.", "You press its keys."),
        ("organ", "You press its keys.", "You pluck its strings.", "You shake it."),
    ),
)
topic.table(
    "sport-thing",
    "In which sport do you use a {}?",
    (
        *(("puck", "Ice hockey"), ("shuttlecock", "Badminton"), ("racket and a yellow ball", "Tennis")),
        *(("saddle", "Horse riding"), ("bow and arrow", "Archery"), ("hoop with a net", "Basketball")),
        *(("long pole to jump", "Pole vault"), ("tee and a small hard ball", "Golf"), ("sword", "Fencing")),
        *(("paddle in a narrow boat", "Canoeing"), ("board on snow", "Snowboarding"), ("bat and a wicket", "Cricket")),
    ),
)
topic.table(
    "made-from",
    "What is {} made from?",
    (
        ("bread", "Flour", "Sand", "Wool"),
        ("glass", "Sand", "Milk", "Wood"),
        ("paper", "Wood", "Sand", "Milk"),
        ("cheese", "Milk", "Flour", "Wood"),
        ("wine", "Grapes", "Potatoes", "Olives"),
        ("a woollen jumper", "Sheep's wool", "Beach sand", "Tree bark"),
        ("chocolate", "Cocoa beans", "Green tea", "Black pepper"),
        ("a candle", "Wax", "Iron", "Salt"),
        ("a brick", "Clay", "Wool", "Milk"),
        ("an omelette", "Eggs", "Beans", "Nuts"),
        ("butter", "Cream", "Honey", "Flour"),
        ("a tyre", "Rubber", "Cotton", "Glass"),
    ),
)
topic.table(
    "state-of-matter",
    "At room temperature, is {} a solid, a liquid or a gas?",
    (
        *(("water", "A liquid"), ("iron", "A solid"), ("oxygen", "A gas"), ("milk", "A liquid")),
        *(("wood", "A solid"), ("helium", "A gas"), ("olive oil", "A liquid"), ("glass", "A solid")),
        *(("nitrogen", "A gas"), ("vinegar", "A liquid"), ("salt", "A solid"), ("hydrogen", "A gas")),
    ),
)
topic.table(
    "who-said-it",
    "{}. Who is speaking?",
    (
        ('"Open your mouth wide, I will look at your teeth"', "A dentist", "A pilot", "A farmer"),
        ('"We will land in twenty minutes"', "A pilot", "A baker", "A judge"),
        ('"Please open your books at page nine"', "A teacher", "A sailor", "A barber"),
        ('"How short shall I cut it?"', "A barber", "A judge", "A pilot"),
        ('"The bread is still warm"', "A baker", "A pilot", "A plumber"),
        ('"Your tap drips because the seal is worn"', "A plumber", "A singer", "A teacher"),
        ('"The court finds him not guilty"', "A judge", "A farmer", "A waiter"),
        ('"The cows have been milked"', "A farmer", "A dentist", "A pilot"),
        ('"Are you ready to order?"', "A waiter", "A plumber", "A judge"),
        ('"Take this medicine twice a day"', "A doctor", "A tailor", "A soldier"),
        ('"Your licence and papers, please"', "A police officer", "A flower seller", "A football player"),
        ('"The trousers are too long, I will shorten them"', "A tailor", "A sailor", "A doctor"),
    ),
    suite="commonsense",
)
topic.table(
    "what-to-wear",
    "What do you put on {}?",
    (
        ("your hands when it is cold", "Gloves", "Boots", "Glasses"),
        ("your head when you ride a bicycle", "A helmet", "A sock", "A belt"),
        ("your neck in winter", "A scarf", "A ring", "A belt"),
        ("your feet when it rains", "Boots", "Gloves", "Scarves"),
        ("your eyes in bright sun", "Sunglasses", "Slippers", "Gloves"),
        ("your skin at the beach", "Sun cream", "Shoe polish", "Tomato sauce"),
        ("to go swimming", "A swimsuit", "A raincoat", "A winter coat"),
        ("to sleep", "Pyjamas", "A helmet", "Ski boots"),
        ("to cook without stains", "An apron", "A ring", "A watch"),
        ("your feet at home", "Slippers", "Mittens", "Earrings"),
        ("a finger", "A ring", "A boot", "A hat"),
        ("to keep trousers up", "A belt", "A scarf", "A glove"),
    ),
    suite="commonsense",
)
topic.table(
    "problem-and-remedy",
    "{}. What helps?",
    (
        ("You are thirsty", "A glass of water", "A pair of shoes", "A wooden ladder"),
        ("The room is dark", "Turning on the light", "Washing the dishes", "Reading a letter"),
        ("Your phone battery is empty", "Charging it", "Painting it", "Freezing it"),
        ("Your hair is wet", "A hair dryer", "A tin opener", "A screwdriver"),
        ("The floor is dusty", "A vacuum cleaner", "A frying pan", "A telephone"),
        ("You cut your finger", "A plaster", "A pencil", "A pillow"),
        ("The soup has no taste", "A little salt", "A little soap", "A little sand"),
        ("You are lost in a city", "A map", "A spoon", "A blanket"),
        ("The nail sticks out", "A hammer", "A sponge", "A candle"),
        ("You are cold in bed", "A blanket", "An ice cube", "A fork"),
        ("The scissors are blunt", "Sharpening them", "Watering them", "Folding them"),
        ("The plant is dry", "Watering it", "Ironing it", "Reading to it"),
    ),
    suite="commonsense",
)
topic.table(
    "first-step",
    "What do you do first when you {}?",
    (
        ("make tea", "Boil the water", "Drink the tea", "Wash the cup"),
        ("send a letter", "Write the letter", "Post the letter", "Get an answer"),
        ("plant a tree", "Dig a hole", "Pick the fruit", "Cut the wood"),
        ("go through a closed door", "Open the door", "Walk through it", "Close it again"),
        ("drive a car", "Get into the car", "Park the car", "Get out of the car"),
        ("fry an egg", "Break the shell", "Eat the egg", "Wash the plate"),
        ("read a book", "Open the book", "Finish the book", "Return the book"),
        ("paint a wall", "Buy the paint", "Let it dry", "Admire the wall"),
        ("take a train", "Buy a ticket", "Leave the train", "Find the exit"),
        ("wash clothes", "Fill the machine", "Fold the clothes", "Iron the clothes"),
        ("bake bread", "Mix the dough", "Slice the bread", "Eat the bread"),
        ("give a present", "Choose a present", "See the happy face", "Hear the thanks"),
    ),
    suite="commonsense",
)
topic.table(
    "what-happens-if",
    "What happens if you {}?",
    (
        ("leave ice in the sun", "It melts.", "It burns.", "It grows."),
        ("drop a glass on stone", "It breaks.", "It sings.", "It melts."),
        ("put a stone in water", "It sinks.", "It floats.", "It dries."),
        ("put a cork in water", "It floats.", "It sinks.", "It breaks."),
        ("never water a plant", "It dies.", "It blooms.", "It sings."),
        ("heat water to 100 degrees", "It boils.", "It freezes.", "It breaks."),
        ("cool water below zero", "It freezes.", "It boils.", "It burns."),
        ("hold paper in a flame", "It burns.", "It melts.", "It freezes."),
        ("leave iron in the rain", "It rusts.", "It melts.", "It grows."),
        ("put sugar in hot tea", "It dissolves.", "It explodes.", "It freezes."),
        ("blow air into a balloon", "It gets bigger.", "It gets colder.", "It gets wetter."),
        ("leave milk out for a week", "It turns sour.", "It turns sweet.", "It turns blue."),
    ),
    suite="commonsense",
)
