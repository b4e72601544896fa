"""Names, places and things that templates draw from. All people are made up."""

NAMES = (
    "Anna",
    "Ben",
    "Clara",
    "David",
    "Emma",
    "Frank",
    "Grace",
    "Henry",
    "Ivy",
    "Jack",
    "Kate",
    "Leo",
    "Mia",
    "Nora",
)
CITIES = ("Boston", "Chicago", "Dublin", "Lisbon", "London", "Madrid", "Oslo", "Paris", "Rome", "Vienna")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
THINGS = ("lamp", "chair", "clock", "jacket", "kettle", "mirror", "carpet", "camera", "bicycle", "suitcase")
FRUITS = ("apples", "pears", "plums", "lemons", "peaches", "oranges", "bananas", "cherries")
JOBS = ("teacher", "nurse", "farmer", "lawyer", "baker", "driver", "painter", "plumber", "singer", "dentist")
COLOURS = ("red", "blue", "green", "yellow", "white", "black", "brown", "grey")
ROOMS = ("kitchen", "garage", "garden", "cellar", "attic", "hall", "bathroom", "bedroom")
