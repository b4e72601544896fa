"""한국어: Korean words, particles, politeness, numbers and short texts."""

from random import Random

from strop.evaluation.suites.templates.form import Choice, Topic, choice

topic = Topic("korean")

_NAMES = ("민수", "지영", "수진", "현우", "영희", "철수", "지훈", "유진")
_PLACES = ("도서관", "시장", "학교", "병원", "공원", "은행", "우체국", "식당")
_DAYS = ("월요일", "화요일", "수요일", "목요일", "금요일", "토요일", "일요일")
# Nouns with a final consonant and without: the particles differ.
_CLOSED = ("책", "물", "밥", "가방", "신문", "연필", "우산", "지갑")
_OPEN = ("사과", "커피", "모자", "의자", "시계", "바나나", "전화기", "자전거")

topic.table(
    "korean-capital",
    "{}의 수도는 어디입니까?",
    (
        ("한국", "서울입니다.", "부산입니다.", "대구입니다."),
        ("일본", "도쿄입니다.", "오사카입니다.", "교토입니다."),
        ("중국", "베이징입니다.", "상하이입니다.", "홍콩입니다."),
        ("프랑스", "파리입니다.", "런던입니다.", "로마입니다."),
        ("영국", "런던입니다.", "파리입니다.", "베를린입니다."),
        ("독일", "베를린입니다.", "뮌헨입니다.", "빈입니다."),
        ("이탈리아", "로마입니다.", "파리입니다.", "아테네입니다."),
        ("스페인", "마드리드입니다.", "바르셀로나입니다.", "리스본입니다."),
        ("러시아", "모스크바입니다.", "베를린입니다.", "바르샤바입니다."),
        ("이집트", "카이로입니다.", "아테네입니다.", "나이로비입니다."),
    ),
)
topic.table(
    "korean-opposite",
    "'{}'의 반대말은 무엇입니까?",
    (
        *(("크다", "작다", "많다", "높다"), ("덥다", "춥다", "맵다", "밝다"), ("길다", "짧다", "넓다", "굵다")),
        ("많다", "적다", "크다", "길다"),
        ("빠르다", "느리다", "바쁘다", "마르다"),
        ("무겁다", "가볍다", "무섭다", "두껍다"),
        *(("밝다", "어둡다", "맑다", "붉다"), ("높다", "낮다", "깊다", "좋다"), ("열다", "닫다", "걷다", "받다")),
        *(("사다", "팔다", "타다", "쓰다"), ("비싸다", "싸다", "차다", "짜다"), ("넓다", "좁다", "얇다", "젊다")),
    ),
)
topic.table(
    "korean-english-word",
    "'{}' is a Korean word (한국어). What does it mean in English?",
    (
        ("물", "water", "fire", "bread"),
        ("학교", "school", "market", "church"),
        ("사람", "person", "animal", "flower"),
        *(("친구", "friend", "enemy", "doctor"), ("집", "house", "river", "shoe"), ("책", "book", "desk", "tree")),
        *(("오늘", "today", "yesterday", "tomorrow"), ("어머니", "mother", "father", "sister")),
        *(("감사합니다", "thank you", "goodbye", "excuse me"), ("안녕하세요", "hello", "sorry", "please")),
        *(("바다", "sea", "mountain", "forest"), ("고양이", "cat", "dog", "bird")),
    ),
)
topic.table(
    "korean-honorific",
    "'{}'의 높임말은 무엇입니까?",
    (
        *(("먹다", "드시다", "먹히다", "먹이다"), ("자다", "주무시다", "재우다", "잠기다"), ("집", "댁", "방", "곳")),
        *(("나이", "연세", "세월", "시간"), ("말", "말씀", "말투", "소리"), ("이름", "성함", "별명", "제목")),
        ("있다", "계시다", "있었다", "놓이다"),
        ("죽다", "돌아가시다", "돌아오다", "떠나가다"),
        ("밥", "진지", "반찬", "간식"),
        ("생일", "생신", "생활", "생각"),
        ("주다", "드리다", "받다", "던지다"),
        ("묻다", "여쭙다", "들리다", "웃기다"),
    ),
)
topic.table(
    "korean-counter",
    "알맞은 말을 고르십시오: {}",
    (
        ("책 세 ___", "책 세 권", "책 세 마리", "책 세 명"),
        ("개 두 ___", "개 두 마리", "개 두 권", "개 두 장"),
        ("종이 네 ___", "종이 네 장", "종이 네 대", "종이 네 마리"),
        ("자동차 한 ___", "자동차 한 대", "자동차 한 장", "자동차 한 권"),
        ("학생 다섯 ___", "학생 다섯 명", "학생 다섯 대", "학생 다섯 병"),
        ("물 한 ___", "물 한 병", "물 한 명", "물 한 권"),
        ("커피 두 ___", "커피 두 잔", "커피 두 장", "커피 두 마리"),
        ("신발 한 ___", "신발 한 켤레", "신발 한 그루", "신발 한 송이"),
        ("나무 세 ___", "나무 세 그루", "나무 세 켤레", "나무 세 잔"),
        ("꽃 한 ___", "꽃 한 송이", "꽃 한 켤레", "꽃 한 대"),
        ("집 두 ___", "집 두 채", "집 두 잔", "집 두 마리"),
        ("연필 열 ___", "연필 열 자루", "연필 열 그루", "연필 열 마리"),
    ),
)
topic.table(
    "korean-spelling",
    "맞춤법이 맞는 것은 무엇입니까? (뜻: {})",
    (
        ("여러 날", "며칠", "몇일", "몇칠"),
        ("긴 시간이 지난 뒤에", "오랜만에", "오랫만에", "오랫만애"),
        ("하지 않다", "안 하다", "않 하다", "안 하따"),
        ("또다시 만나요", "봬요", "뵈요", "봬여"),
        ("김치를 넣고 끓인 음식", "김치찌개", "김치찌게", "김치찌께"),
        ("그릇을 씻는 일", "설거지", "설겆이", "설거질이"),
        ("맡은 일", "역할", "역활", "역홀"),
        ("너무 뜻밖이다", "어이없다", "어의없다", "어의업다"),
        ("얼마 안 가서", "금세", "금새", "금쎄"),
        ("더럽지 않게", "깨끗이", "깨끗히", "깨끄시"),
        ("병이 없어졌다", "나았다", "낳았다", "낫았다"),
        ("하나씩 모두", "일일이", "일일히", "일이리"),
    ),
)
topic.table(
    "korean-situation",
    "{} 뭐라고 말합니까?",
    (
        ("친구의 생일입니다.", "생일 축하해!", "잘 자!", "미안해!"),
        ("밥을 먹기 전입니다.", "잘 먹겠습니다.", "안녕히 주무세요.", "처음 뵙겠습니다."),
        ("밥을 다 먹었습니다.", "잘 먹었습니다.", "어서 오세요.", "다녀오겠습니다."),
        ("약속에 늦었습니다.", "늦어서 죄송합니다.", "만나서 반갑습니다.", "생일 축하합니다."),
        ("선생님을 처음 만났습니다.", "처음 뵙겠습니다.", "잘 먹었습니다.", "안녕히 가세요."),
        ("집을 나섭니다.", "다녀오겠습니다.", "다녀왔습니다.", "잘 먹었습니다."),
        ("집에 돌아왔습니다.", "다녀왔습니다.", "다녀오겠습니다.", "축하합니다."),
        ("가게에 손님이 왔습니다.", "어서 오세요.", "안녕히 주무세요.", "잘 먹었습니다."),
        ("친구가 시험에 합격했습니다.", "합격 축하해!", "정말 안됐다.", "빨리 나아."),
        ("친구가 아픕니다.", "빨리 나아.", "축하해!", "잘 먹을게."),
        ("부모님이 주무시러 갑니다.", "안녕히 주무세요.", "어서 오세요.", "처음 뵙겠습니다."),
        ("누가 도와주었습니다.", "도와주셔서 감사합니다.", "다음에는 늦지 마세요.", "여기에서 기다리세요."),
    ),
)
topic.table(
    "korean-colour",
    "{}의 색은 보통 무엇입니까?",
    (
        ("맑은 하늘", "파란색입니다.", "빨간색입니다.", "갈색입니다."),
        ("바나나", "노란색입니다.", "파란색입니다.", "검은색입니다."),
        ("겨울에 내리는 눈", "하얀색입니다.", "빨간색입니다.", "초록색입니다."),
        ("풀", "초록색입니다.", "빨간색입니다.", "하얀색입니다."),
        ("딸기", "빨간색입니다.", "파란색입니다.", "검은색입니다."),
        ("우유", "하얀색입니다.", "검은색입니다.", "초록색입니다."),
        ("숯", "검은색입니다.", "노란색입니다.", "파란색입니다."),
        ("당근", "주황색입니다.", "하얀색입니다.", "검은색입니다."),
        ("개나리", "노란색입니다.", "파란색입니다.", "검은색입니다."),
        ("초콜릿", "갈색입니다.", "파란색입니다.", "초록색입니다."),
    ),
)


@topic.template("korean-object-particle")
def _object_particle(random: Random) -> Choice:
    closed = random.choice((True, False))
    noun, verb = random.choice(_CLOSED if closed else _OPEN), random.choice(("샀습니다", "찾았습니다", "봤습니다"))
    name = random.choice(_NAMES)
    first, second = ("을", "를") if closed else ("를", "을")
    right, *wrong = [f"{name} 씨가 {noun}{particle} {verb}." for particle in (first, second, "에게")]
    return choice(random, f"맞는 문장을 고르십시오. ({name} 씨, {noun}, {verb})", right, wrong)


@topic.template("korean-topic-particle")
def _topic_particle(random: Random) -> Choice:
    closed = random.choice((True, False))
    noun, says = random.choice(_CLOSED if closed else _OPEN), random.choice(("비쌉니다", "좋습니다", "없습니다"))
    first, second = ("은", "는") if closed else ("는", "은")
    right, *wrong = [f"이 {noun}{particle} {says}." for particle in (first, second, "을" if closed else "를")]
    return choice(random, f"빈칸에 맞는 말을 넣으십시오: 이 {noun}___ {says}.", right, wrong)


@topic.template("korean-place-particle")
def _place_particle(random: Random) -> Choice:
    name, place = random.choice(_NAMES), random.choice(_PLACES)
    verb, particle = random.choice(
        (("도착했습니다", "에"), ("일합니다", "에서"), ("친구를 만났습니다", "에서"), ("있습니다", "에"))
    )
    others = [each for each in ("에서", "에", "의") if each != particle]
    right, *wrong = [f"{name} 씨는 {place}{each} {verb}." for each in (particle, *others)]
    return choice(random, f"빈칸에 맞는 말을 넣으십시오: {name} 씨는 {place}___ {verb}.", right, wrong)


@topic.template("korean-number")
def _number(random: Random) -> Choice:
    tens, ones = ("십", "이십", "삼십", "사십", "오십"), ("일", "이", "삼", "사", "오", "육", "칠", "팔", "구")
    ten, one = random.randrange(5), random.randrange(9)
    right = 10 * (ten + 1) + one + 1
    wrong = [10 * (ten + 1) + (one + 2) % 9 + 1, 10 * ((ten + 1) % 5 + 1) + one + 1]
    answers = [f"{number}입니다." for number in (right, *wrong)]
    return choice(random, f"다음 수를 숫자로 쓰면 무엇입니까? {tens[ten]}{ones[one]}", answers[0], answers[1:])


@topic.template("korean-sum")
def _sum(random: Random) -> Choice:
    a, b, name = random.randint(1, 9), random.randint(1, 9), random.choice(_NAMES)
    prompt = f"{name} 씨는 사과가 {a}개 있습니다. {b}개를 더 샀습니다. 사과는 모두 몇 개입니까?"
    wrong = [f"모두 {n}개입니다." for n in (a + b + 1, a + b - 1, a + b + 3)]
    return choice(random, prompt, f"모두 {a + b}개입니다.", wrong)


@topic.template("korean-next-day")
def _next_day(random: Random) -> Choice:
    today = random.randrange(7)
    when, step = random.choice((("내일", 1), ("어제", -1), ("모레", 2)))
    is_, was = ("이었습니까", "이었습니다") if step < 0 else ("입니까", "입니다")
    days = [
        f"{when}{'는' if when in ('어제', '모레') else '은'} {_DAYS[(today + off) % 7]}{was}."
        for off in (step, -step, 3)
    ]
    prompt = f"오늘은 {_DAYS[today]}입니다. {when}{'는' if when in ('어제', '모레') else '은'} 무슨 요일{is_}?"
    return choice(random, prompt, days[0], days[1:])


@topic.template("korean-who-in-text")
def _who_in_text(random: Random) -> Choice:
    one, two, three = random.sample(_NAMES, 3)
    first, second = random.sample(_PLACES, 2)
    right, place = random.choice(((one, first), (two, second)))
    prompt = f"{one} 씨는 {first}에 갔고 {two} 씨는 {second}에 갔습니다. {place}에 간 사람은 누구입니까?"
    wrong = [f"{name} 씨가 갔습니다." for name in (one, two, three)]
    return choice(random, prompt, f"{right} 씨가 갔습니다.", wrong)


@topic.template("korean-past")
def _past(random: Random) -> Choice:
    verb, past, *wrong = random.choice(
        (
            *(("가다", "갔습니다", "가았습니다", "갑니다"), ("먹다", "먹었습니다", "먹았습니다", "먹습니다")),
            *(("하다", "했습니다", "하었습니다", "합니다"), ("보다", "봤습니다", "보었습니다", "봅니다")),
            *(("오다", "왔습니다", "오었습니다", "옵니다"), ("듣다", "들었습니다", "듣었습니다", "듣습니다")),
            *(("쓰다", "썼습니다", "쓰었습니다", "씁니다"), ("돕다", "도왔습니다", "돕았습니다", "돕습니다")),
        )
    )
    name = random.choice(_NAMES)
    right, *others = [f"{name} 씨는 어제 {each}." for each in (past, *wrong)]
    return choice(random, f"'{verb}'를 넣어 어제 일을 말하십시오: {name} 씨는 어제 ___.", right, others)
