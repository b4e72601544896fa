"""Every case is (prompt and answer, the next message, the kinds that it implies, "" where none)."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strop.feedback import nextmessage as nm
from strop.feedback.cues import CUES
from strop.feedback.nextmessage import WEIGHTS, Implied, implied

EN = ("What is the capital of Australia?", "The capital of Australia is Canberra.")
KO = ("호주의 수도는 어디야?", "호주의 수도는 캔버라입니다.")
EN_ASKED = ("Tell me about Canberra.", "It is the capital of Australia. Would you like to hear more about its history?")
KO_ASKED = ("캔버라에 대해 알려줘.", "호주의 수도입니다. 더 알려드릴까요?")
THE_CAT = "the cat sat on the mat. " * 20

ENGLISH = [
    (EN, "no", "complaint"),
    (EN, "No.", "complaint"),
    (EN, "nope", "complaint"),
    (EN, "hmm no", "complaint"),
    (EN, "no no no", "complaint"),
    (EN, "No, the other one", "complaint"),
    (EN, "no that's not it", "complaint"),
    (EN, "No. I meant the state, not the country.", "complaint"),
    (EN, "wrong.", "complaint"),
    (EN, "WRONG!!!", "complaint"),
    (EN, "Wrong, it's Canberra since 1913", "complaint"),
    (EN, "well, that is wrong", "complaint"),
    (EN, "thats wrong", "complaint"),
    (EN, "that’s not what I asked", "complaint"),
    (EN, "ok but that's still not what I meant", "complaint"),
    (EN, "thanks, but that is wrong", "complaint"),
    (EN, "Thanks. But that's wrong.", "complaint"),
    (EN, "I meant the one in Georgia", "complaint"),
    (EN, "the answer is wrong", "complaint"),
    (EN, "Your code doesn't work. It doesn't work on Windows.", ""),
    (EN, "It doesn't work on Windows.", "complaint"),
    (EN, "that doesn't answer my question", "complaint"),
    (EN, "you misunderstood me", "complaint"),
    (EN, "You keep repeating yourself", "complaint"),
    (EN, "too long; didn't read", "complaint"),
    (EN, "too long", "complaint"),
    (EN, "way too long", "complaint"),
    (EN, "That's a bit too complicated for me", "complaint"),
    (EN, "shorter please", "complaint"),
    (EN, "Shorter, please!", "complaint"),
    (EN, "can you make it a bit shorter?", "complaint"),
    (EN, "in one sentence please", "complaint"),
    (EN, "tl;dr", "complaint"),
    (EN, "not helpful", "complaint"),
    (EN, "incorrect", "complaint"),
    (EN, "are you sure?", "complaint"),
    (EN, "👎", "complaint"),
    (EN, "That isn't right", "complaint"),
    (EN, "> The capital is Canberra.\nNo, that's wrong.", "complaint"),
    (EN, "thanks", "praise"),
    (EN, "Thanks!", "praise"),
    (EN, "Thank you so much 🙏", "praise"),
    (EN, "thanks, perfect", "praise"),
    (EN, "Perfect.", "praise"),
    (EN, "great, now do the same for Italy", "praise"),
    (EN, "Great! What about Italy?", "praise"),
    (EN, "perfect thanks", "praise"),
    (EN, "that's exactly what I wanted", "praise"),
    (EN, "oh wow, that is really helpful", "praise"),
    (EN, "Excellent work", "praise"),
    (EN, "it works now, thank you!", "praise"),
    (EN, "Got it, thanks", "praise"),
    (EN, "thank you for explaining that", "praise"),
    (EN, "you're the best", "praise"),
    (EN, "👍", "praise"),
    (EN, "spot on", "praise"),
    (EN, "much better", "praise"),
    (EN, "that makes sense", "praise"),
    (EN, "What is the capital of Australia?", "reask"),
    (EN, "WHAT IS THE CAPITAL OF AUSTRALIA", "reask"),
    (EN, "what is the capital of Austrailia?", "reask"),
    (EN, "What is the capital of Australia, please?", "reask"),
    (EN, "again: what is the capital of Australia?", "reask"),
    (EN, "again", "reask"),
    (EN, "try again", "reask"),
    (EN, "as I asked, what is the capital?", "reask"),
    (EN, "My question was about the capital", "reask"),
    (EN, "no, I meant: what is the capital of South Australia?", "complaint reask"),
    (EN, "Wrong. What is the capital of Australia?", "complaint reask"),
    (EN, "No problem, and what about Italy?", ""),
    (EN, "No idea what to cook, suggest something", ""),
    (EN, "No worries. What about Italy?", ""),
    (EN, "No thanks", ""),
    (EN, "No, thank you.", ""),
    (EN, "no, that's all", ""),
    (EN, "No. 5 by Chanel: who made it?", ""),
    (EN, "No one answers my mails. What can I do?", ""),
    (EN, "Thanks in advance", ""),
    (EN, "Thanks a lot in advance!", ""),
    (EN, "Thanks to the gold rush, which towns grew?", ""),
    (EN, "Thank you card ideas", ""),
    (EN, "Thank you for your order - how do I say that in German?", ""),
    (EN, "Wrong Turn is a film; who directed it?", ""),
    (EN, "What's wrong with my car?", ""),
    (EN, "Wrong?", ""),
    (EN, "Perfect tense of 'to be'?", ""),
    (EN, "Perfect pitch, is it inherited?", ""),
    (EN, "I meant a lot to her - what does that sentence mean?", ""),
    (EN, "I mean, why would anyone live there?", ""),
    (EN, "not bad", ""),
    (EN, "thanks, but I need it as a table", ""),
    (EN, "great, but wrong", "complaint"),
    (EN, "Great Britain: capital?", ""),
    (EN, "Great writers of Australia", ""),
    (EN, "good morning", ""),
    (EN, "Nice is a city in France, isn't it?", ""),
    (EN, "Cool places near Canberra", ""),
    (EN, "How long is too long for a nap?", ""),
    (EN, "Too long a screw splits the wood, true?", ""),
    (EN, "Shorter hair or longer for a round face?", ""),
    (EN, "In one sentence, what is photosynthesis?", ""),
    (EN, 'Translate "no, that\'s wrong" into French', ""),
    (EN, "How do I say that's not what I asked in Spanish?", ""),
    (EN, "```python\nprint('wrong')\n```\nwhat does this print?", ""),
    (EN, "> thanks, perfect\nWhat does he thank for?", ""),
    (EN, "What is the capital of Italy?", ""),
    (EN, "What is the population of Australia?", ""),
    (EN, "Again, thanks to everyone who came. Is this a good closing line?", ""),
    (EN, "yes", ""),
    (EN, "continue", ""),
    (EN, "", ""),
    (EN, "🤔", ""),
    (EN_ASKED, "no", ""),
    (EN_ASKED, "No, tell me about its lake", ""),
    (EN_ASKED, "yes, thanks", ""),
    (EN_ASKED, "perfect", ""),
    (EN_ASKED, "shorter please", ""),
    (EN_ASKED, "no, that is wrong", "complaint"),
    (("Tell me a joke.", "A horse walks into a bar."), "Tell me a joke", ""),
    (("Tell me about quokkas.", "They are marsupials."), "Tell me about other marsupials", ""),
    (("Name five rivers in France", "Seine, Loire, ..."), "Name five more rivers in France", ""),
    (("Name 5 rivers in France", "Seine, Loire, ..."), "Name 9 rivers in France", ""),
    (("continue", "And then ..."), "continue", ""),
    (("How do I install Python on Windows?", "Download it."), "How do I uninstall Python on Windows?", ""),
    (("How do I install Python on Windows?", "Download it."), "How do I install Python on Windows 11?", ""),
    (("Convert all the prices from euros to dollars", "..."), "Convert all the prices from dollars to euros", ""),
    (("Translate into French: " + THE_CAT, "Le chat ..."), "Translate into German: " + THE_CAT, ""),
    (EN, "No, seriously, who would live there?", ""),
    (EN, "No offense but who chose that place?", ""),
    (EN, "no sugar recipes please", ""),
    (EN, "no. of people in Canberra", ""),
    (EN, "No, I have never been there. Is it nice?", ""),
    (EN, "No kidding! And Sydney?", ""),
    (EN, "False friends in German: list ten", ""),
    (EN, "False.", "complaint"),
    (EN, "Exactly how far is it from Sydney?", ""),
    (EN, "Exactly, and how many people live there?", "praise"),
    (EN, "Good, bad and ugly: who directed it?", ""),
    (EN, "Nice, France: what to see?", ""),
    (EN, "Cool. And New Zealand?", "praise"),
    (EN, "Cheers, the TV show: who starred?", ""),
    (EN, "Amazing Grace lyrics", ""),
    (EN, "Beautiful, sad songs from the 80s", ""),
    (EN, "I was asking my wife about Canberra and she said Sydney. Who's right?", ""),
    (EN, "I said in my essay that it was Sydney. Fix the essay.", ""),
    (EN, "You forgot my birthday - write this as a poem", ""),
    (EN, "You are wrong about me is a song by whom?", ""),
    (EN, "This is not what it looks like: which film is that from?", ""),
    (EN, "It doesn't work like that in Germany, does it?", ""),
    (EN, "My printer is broken. It doesn't print.", ""),
    (EN, "Sweet, sour, salty: what is the fourth?", ""),
    (EN, "Better, best, ... what's the first form?", ""),
    (EN, "Useful idioms in English", ""),
    (EN, "Clear my schedule tomorrow", ""),
    (EN, "Retry logic in Python, show me", ""),
    (EN, "again and again", ""),
    (EN, "Short please: why is the sky blue?", ""),
    (EN, "In two words, what is love?", ""),
    (EN, "not sure", ""),
    (EN, "Not only that, who built it?", ""),
    (EN, "Not that one, the other", "complaint"),
    (EN, "Really? That's it?", ""),
    (EN, "I love it when it rains. Poem please.", ""),
    (EN, "I love this song, who sings it?", ""),
    (EN, "love that dress, where to buy?", ""),
    (EN, "Thanks Giving recipes", ""),
    (EN, "thanks for nothing", ""),
    (EN, "Cheers!", "praise"),
    (EN, "Are you sure that Canberra is older than Darwin?", ""),
    (EN, "I don't understand why it isn't Sydney", ""),
    (EN, "Right?", ""),
    (EN, "Correct me if I'm wrong, but it was Melbourne once?", ""),
    (EN, "correct", "praise"),
    (EN, "Correct: he go to school", ""),
    (EN, "correct, and then?", "praise"),
    (EN, "Dear Sir,\nthank you for your reply. Unfortunately it is wrong.\nCould you polish this mail?", ""),
    (EN, "Write a reply: thanks, perfect", ""),
    (EN, "Summarise: 'great work'", ""),
    (EN, "Fix my code, it doesn't work", ""),
    (EN, "Not helpful, sorry. I need the population.", "complaint"),
    (EN, "hm", ""),
    (EN, "lol", ""),
    (EN, "Well, great. Now what do I tell my boss?", "praise"),
    (EN, "I asked for a raise and my boss said no. What now?", ""),
    (EN, "I asked what she wanted and she cried. Advice?", ""),
    (EN, "My question is about Perth: how large is it?", ""),
    (EN, "I'll repeat my driving test soon. Tips?", ""),
    (EN, "Let me rephrase this sentence: he go. Fix it", ""),
    (EN, "You missed the bus in Spanish?", ""),
    (EN, "You keep smiling - who sang that?", ""),
    (EN, "She told me you misunderstood her. Write an apology.", ""),
    (EN, "That's great Britain's flag, or?", ""),
    (EN, "That works for me, but when does the museum open?", ""),
    (EN, "this works in Python 2. How about Python 3?", ""),
    (EN, "This helps. More?", "praise"),
    (EN, "Rubbish collection days in Canberra", ""),
    (EN, "Garbage, the band: first album?", ""),
    (EN, "meh", "complaint"),
    (EN, "I didn't ask for a poem", "complaint"),
    (EN, "I said in one sentence", "complaint"),
    (EN, "I don't think that is right", "complaint"),
    (EN, "I don't understand", "complaint"),
    (EN, "thanks that helps", "praise"),
    (EN, "That's cool", "praise"),
    (EN, "Let me rephrase: which city is the capital?", "reask"),
    (EN, "Please just answer my question", "reask"),
    (EN, "Not what I meant, sorry", "complaint"),
    (EN, "Sure, but that's not what I was asking", "complaint"),
    (EN, "This is awful", "complaint"),
    (EN, "no, perfect", "praise"),
]

KOREAN = [
    (KO, "아니", "complaint"),
    (KO, "아니요", "complaint"),
    (KO, "아니야", "complaint"),
    (KO, "아닌데?", ""),
    (KO, "아닌데요", "complaint"),
    (KO, "아니, 내 말은 오스트리아", "complaint"),
    (KO, "아니요, 시드니예요", "complaint"),
    (KO, "그게 아니라 면적을 알려줘", "complaint"),
    (KO, "아니 그게 아니라", "complaint"),
    (KO, "그거 말고", "complaint"),
    (KO, "그런 뜻이 아니야", "complaint"),
    (KO, "틀렸어", "complaint"),
    (KO, "틀렸어요!", "complaint"),
    (KO, "그건 틀렸습니다", "complaint"),
    (KO, "음 틀린 것 같아", "complaint"),
    (KO, "틀렸어 다시 해줘", "complaint reask"),
    (KO, "또 틀렸네", "complaint"),
    (KO, "너무 길어", "complaint"),
    (KO, "너무길어요", "complaint"),
    (KO, "답변이 너무 길어서 못 읽겠어", "complaint"),
    (KO, "설명이 너무 어려워요", "complaint"),
    (KO, "짧게", "complaint"),
    (KO, "더 짧게 해줘", "complaint"),
    (KO, "한 문장으로 말해줘", "complaint"),
    (KO, "간단하게 설명해 주세요", "complaint"),
    (KO, "잘못 이해했어", "complaint"),
    (KO, "질문에 답을 안 했잖아", "complaint"),
    (KO, "고마워 근데 틀렸어", "complaint"),
    (KO, "도움이 안 돼", "complaint"),
    (KO, "별로야", "complaint"),
    (KO, "무슨 소리야", "complaint"),
    (KO, "고마워", "praise"),
    (KO, "고마워요 ㅎㅎ", "praise"),
    (KO, "감사", "praise"),
    (KO, "감사합니다!", "praise"),
    (KO, "아 그렇구나 고마워", "praise"),
    (KO, "완벽해", "praise"),
    (KO, "완벽해요 감사합니다", "praise"),
    (KO, "좋아", "praise"),
    (KO, "아주 좋아요", "praise"),
    (KO, "좋아 이제 이탈리아도 해줘", "praise"),
    (KO, "정확해", "praise"),
    (KO, "바로 그거야!", "praise"),
    (KO, "딱 좋아", "praise"),
    (KO, "도움이 많이 됐어요", "praise"),
    (KO, "잘했어", "praise"),
    (KO, "최고예요", "praise"),
    (KO, "다시", "reask"),
    (KO, "다시 해줘", "reask"),
    (KO, "처음부터 다시 써 주세요", "reask"),
    (KO, "다시: 호주의 수도는?", "reask"),
    (KO, "다시 물어볼게, 수도가 어디야", "reask"),
    (KO, "호주의 수도는 어디야?", "reask"),
    (KO, "호주의 수도는 어디죠?", "reask"),
    (KO, "아니 왜 하늘은 파래?", ""),
    (KO, "아니 근데 인구는 얼마나 돼?", ""),
    (KO, "아니, 그럼 뉴질랜드는 어때?", ""),
    (KO, "아니면 표로 정리해줘", ""),
    (KO, "아니라고 말하는 법 알려줘", ""),
    (KO, "아니 다행이네", ""),
    (KO, "아니메 추천해줘", ""),
    (KO, "고마워하는 마음을 담은 편지 써줘", ""),
    (KO, "고마워를 영어로 뭐라고 해?", ""),
    (KO, "감사합니다를 일본어로 번역해줘", ""),
    (KO, "감사 편지 써줘", ""),
    (KO, "감사원은 뭐 하는 곳이야?", ""),
    (KO, "미리 감사합니다", ""),
    (KO, "알려주시면 감사하겠습니다", ""),
    (KO, "완벽한 스테이크 굽는 법", ""),
    (KO, "완벽주의를 고치는 법", ""),
    (KO, "완벽해?", ""),
    (KO, "좋아하는 음식이 뭐야?", ""),
    (KO, "좋아요 버튼은 어떻게 만들어?", ""),
    (KO, "좋은 책 추천해줘", ""),
    (KO, "정확한 날짜를 알려줘", ""),
    (KO, "틀린 그림 찾기 게임 만들어줘", ""),
    (KO, "뭐가 틀렸어?", ""),
    (KO, "틀렸어?", ""),
    (KO, "너무 길어서 지루한 영화는?", ""),
    (KO, "머리가 너무 길어, 어떻게 자를까?", ""),
    (KO, "짧게 자른 머리 관리법", ""),
    (KO, "다시 말해, 수도가 두 개라는 거야?", ""),
    (KO, "다시 만난 세계 가사 누가 썼어?", ""),
    (KO, "최고의 여행지는?", ""),
    (KO, "이탈리아의 수도는 어디야?", ""),
    (KO, "호주의 인구는 몇 명이야?", ""),
    (KO, '"틀렸어"를 존댓말로 바꿔줘', ""),
    (KO, "네", ""),
    (KO_ASKED, "아니", ""),
    (KO_ASKED, "아니요, 괜찮아요", ""),
    (KO_ASKED, "좋아", ""),
    (KO_ASKED, "네, 감사합니다", ""),
    (KO_ASKED, "아니, 그건 틀렸어", "complaint"),
    (KO, "아니, 그냥 궁금해서", ""),
    (KO, "아니 진짜 맛있는 집 추천해줘", ""),
    (KO, "아니, 이게 왜 비싼 거야", ""),
    (KO, "아니야? 그럼 어디야?", ""),
    (KO, "아니요라는 말의 높임말은?", ""),
    (KO, "그게 아니면 뭐야", ""),
    (KO, "이게 아니었으면 어떻게 됐을까", ""),
    (KO, "이거 아니야?", ""),
    (KO, "그거 아니? 캔버라에 호수가 있대", ""),
    (KO, "이거 말고도 유명한 도시가 있어?", ""),
    (KO, "내 말은 항상 무시당해. 어떻게 해야 할까?", ""),
    (KO, "내 말을 무시하는 상사", ""),
    (KO, "좋아 보이는 옷 추천", ""),
    (KO, "좋다와 좋아하다의 차이", ""),
    (KO, "맞아 본 적 있어?", ""),
    (KO, "맞다, 내일 날씨는?", ""),
    (KO, "굿모닝", ""),
    (KO, "대박 식당 추천", ""),
    (KO, "최고 기록은?", ""),
    (KO, "멋진 이름 지어줘", ""),
    (KO, "멋져 보이는 문장 써줘", ""),
    (KO, "잘했어요 스티커 만들어줘", ""),
    (KO, "도움이 되는 앱 추천해줘", ""),
    (KO, "도움이 안 되는 친구를 어떻게 하지", ""),
    (KO, "해결했어야 하는 문제 목록", ""),
    (KO, "마음에 드는 선물 고르는 법", ""),
    (KO, "마음에 안 드는 선물을 받으면?", ""),
    (KO, "짧게 요약하는 법 알려줘", ""),
    (KO, "한 줄로 서는 이유", ""),
    (KO, "한 문장으로 광합성을 설명해줘", ""),
    (KO, "쉽게 돈 버는 법", ""),
    (KO, "간단히 먹을 수 있는 요리", ""),
    (KO, "다시 시작하는 영어 책 추천", ""),
    (KO, "다시 해야 하는 일 목록", ""),
    (KO, "다시는 안 갈래", ""),
    (KO, "다시 말해봐", "reask"),
    (KO, "별로 가는 우주선 이름", ""),
    (KO, "별로 유명하지 않은 도시는?", ""),
    (KO, "안 돼라는 말을 영어로", ""),
    (KO, "말이 안 되는 영화 추천", ""),
    (KO, "무슨 소리야라는 노래", ""),
    (KO, "틀린 답을 고르는 문제 만들어줘", ""),
    (KO, "틀렸다고 말하는 법", ""),
    (KO, "너무 어렵지 않은 책 추천", ""),
    (KO, "너무 길다 싶은 영화는?", ""),
    (KO, "너무 길고 지루한 영화", ""),
    (KO, "여전히 안 되는 이유가 뭐야?", ""),
    (KO, "계속 똑같은 꿈을 꿔", ""),
    (KO, "고맙다고 편지 써줘", ""),
    (KO, "고마워 노래 가사", ""),
    (KO, "감사, 감독, 이사의 차이", ""),
    (KO, "고마웠던 선생님께 편지", ""),
    (KO, "완벽하다 뜻", ""),
    (KO, "정확하게 몇 명이야", ""),
    (KO, "딱 맞는 옷 고르는 법", ""),
    (KO, "오답 노트 쓰는 법", ""),
    (KO, "오답노트", ""),
    (KO, "방금 말했듯이 인구를 알려줘", "reask"),
    (KO, "친구가 나한테 못생겼다고 했잖아. 어떻게 하지?", ""),
    (KO, "천재다 싶은 작곡가는?", ""),
    (KO, "네 말이 맞아", "praise"),
    (KO, "아 진짜 너무 고마워요 ㅠㅠ", "praise"),
    (KO, "고마워ㅋㅋ", "praise"),
    (KO, "ㄱㅅㄱㅅ", "praise"),
    (KO, "아니 내 말은 오스트리아 말이야", "complaint"),
    (KO, "완전 틀린 답이야", "complaint"),
    (KO, "그래도 안 돼", "complaint"),
    (KO, "그건 사실과 달라", "complaint"),
    (KO, "번역이 좀 이상해", "complaint"),
    (KO, "영어 말고 한국어로 답해줘", "complaint"),
    (KO, "내가 면적을 물었잖아", "complaint"),
    (KO, "대박!", "praise"),
    (KO, "와 해결됐어요", "praise"),
    (KO, "한번 더", "reask"),
]

# Asked in English or another language, answered in English: only the message matters.
OTHERS = [
    (EN, "Nein, das meinte ich nicht", "complaint"),
    (EN, "Falsch.", "complaint"),
    (EN, "Bitte kürzer", "complaint"),
    (EN, "Danke schön!", "praise"),
    (EN, "Nein danke", ""),
    (EN, "Super Mario: wann erschien das?", ""),
    (EN, "Demasiado largo", "complaint"),
    (EN, "no, me refería a Austria", "complaint"),
    (EN, "Muchas gracias", "praise"),
    (EN, "Gracias a Dios, ¿quién lo dijo?", ""),
    (EN, "Non, c'est faux", "complaint"),
    (EN, "Trop long", "complaint"),
    (EN, "Merci !", "praise"),
    (EN, "Merci d'avance", ""),
    (EN, "間違っています", "complaint"),
    (EN, "長すぎます", "complaint"),
    (EN, "ありがとう、完璧です", "praise"),
    (EN, "違うタイプを教えて", ""),
    (EN, "错了", "complaint"),
    (EN, "太长了，短一点", "complaint"),
    (EN, "谢谢！", "praise"),
    (EN, "谢谢用英语怎么说？", ""),
    (("法国的首都是哪里？", "巴黎。"), "意大利的首都是哪里？", ""),
    (("法国的首都是哪里？", "巴黎。"), "法国的首都是哪里", "reask"),
    (EN, "Super, danke", "praise"),
    (EN, "no entiendo", ""),
    (EN, "no sé", ""),
    (EN, "non-profit law in France", ""),
    (EN, "Falsch parken in Berlin: wie teuer?", ""),
    (EN, "perfekt von gehen?", ""),
    (EN, "Excelente, ahora en inglés", "praise"),
    (EN, "Noch einmal bitte", "reask"),
    (EN, "Más corto, por favor", "complaint"),
    (EN, "otra vez", "reask"),
    (EN, "Je voulais dire l'Autriche", "complaint"),
    (EN, "Plus court, s'il te plaît", "complaint"),
    (EN, "Encore une fois", "reask"),
    (EN, "そうじゃなくて、面積は", "complaint"),
    (EN, "もっと短くしてください", "complaint"),
    (EN, "もう一度お願いします", "reask"),
    (EN, "我的意思是奥地利", "complaint"),
    (EN, "重新回答", "reask"),
]

# Written before the table of cues and never looked at while it was tuned: the figures are measured on these. By the
# same author, so they are kinder than strangers would be.
HELD_OUT = [
    (EN, "No, that's the largest city, not the capital.", "complaint"),
    (EN, "Nope, still broken", "complaint"),
    (EN, "That is not correct, it moved in 1927.", "complaint"),
    (EN, "hm, I don't think that's right", "complaint"),
    (EN, "you forgot the last part", "complaint"),
    (EN, "This is way too long, I only needed the name", "complaint"),
    (EN, "Can you make that shorter?", "complaint"),
    (EN, "I was asking about the country, not the city", "complaint"),
    (EN, "sorry, I meant Austria", "complaint"),
    (EN, "bad answer", "complaint"),
    (EN, "It still throws the same error", "complaint"),
    (EN, "That makes no sense.", "complaint"),
    (EN, "please stop using bullet points", "complaint"),
    (EN, "Not helpful at all", "complaint"),
    (EN, "ugh, wrong again", "complaint"),
    (EN, "Awesome, thank you so much!", "praise"),
    (EN, "thx!", "praise"),
    (EN, "That worked, thanks", "praise"),
    (EN, "Exactly what I needed.", "praise"),
    (EN, "Great answer! Now explain how Canberra was chosen.", "praise"),
    (EN, "love it", "praise"),
    (EN, "Wow, this is brilliant", "praise"),
    (EN, "ok thanks. what about New Zealand?", "praise"),
    (EN, "Nice one", "praise"),
    (EN, "You're right, thanks for the correction", "praise"),
    (EN, "What's the capital of Australia?", "reask"),
    (EN, "what is the capital of australia", "reask"),
    (EN, "Once again: what is the capital of Australia", "reask"),
    (EN, "I asked what the capital of Australia is", "reask"),
    (EN, "No, I asked: what is the capital of Australia?", "complaint reask"),
    (EN, "And what is its population?", ""),
    (EN, "What is the capital of Austria?", ""),
    (EN, "No more than five people live there, true?", ""),
    (EN, "Thanks to whom did Canberra become the capital?", ""),
    (EN, "Good restaurants in Canberra?", ""),
    (EN, "Perfect numbers: list the first four", ""),
    (EN, "How do I tell my boss he is wrong?", ""),
    (EN, "Write a thank-you note to my teacher", ""),
    (EN, "Is it too long a drive from Sydney?", ""),
    (EN, "ok", ""),
    (EN, "Go on", ""),
    (EN, "No rush, but could you list the other state capitals too?", ""),
    (EN, "Not sure yet. What are the arguments for Sydney?", ""),
    (EN, "Correct the grammar: he don't know nothing", ""),
    (EN, "Again and again I hear Sydney is nicer. Why?", ""),
    (EN, "I mean to travel there in May, what should I pack?", ""),
    (EN, "Never mind, tell me about koalas", ""),
    (EN, "Great Barrier Reef: how big is it?", ""),
    (EN, "right, so how far is it from Sydney", ""),
    (EN, "Short answer questions about Australia, five of them", ""),
    (EN, "Please", ""),
    (EN, "Nothing else for today", ""),
    (EN, "Best time to visit?", ""),
    (EN, "The word 'wrong' in Korean?", ""),
    (EN, "> That is wrong\nWho wrote this sentence?", ""),
    (EN, "```\nreturn 'no, wrong'\n```\nExplain this code", ""),
    (EN_ASKED, "No", ""),
    (EN_ASKED, "Nope, that was all", ""),
    (EN_ASKED, "Yes please", ""),
    (EN_ASKED, "Great, go ahead", ""),
    (KO, "아니 그거 말고 시드니에 대해 알려달라고", "complaint"),
    (KO, "아닌데, 시드니 아니야?", "complaint"),
    (KO, "틀린 것 같은데요", "complaint"),
    (KO, "답이 너무 길어요", "complaint"),
    (KO, "좀 짧게 말해줘", "complaint"),
    (KO, "그 뜻이 아니었어", "complaint"),
    (KO, "제 질문은 그게 아니었는데요", "complaint"),
    (KO, "이해를 못 한 것 같은데 오스트리아 말한 거야", "complaint"),
    (KO, "여전히 에러가 나", "complaint"),
    (KO, "그건 사실이 아니야", "complaint"),
    (KO, "엉터리네", "complaint"),
    (KO, "말이 안 되잖아", "complaint"),
    (KO, "더 쉽게 설명해줘", "complaint"),
    (KO, "영어 말고 한국어로 해줘", "complaint"),
    (KO, "오 고마워!", "praise"),
    (KO, "정말 감사합니다", "praise"),
    (KO, "완벽하네요 고맙습니다", "praise"),
    (KO, "좋네 이제 표로 만들어줘", "praise"),
    (KO, "와 대박", "praise"),
    (KO, "덕분에 해결됐어", "praise"),
    (KO, "큰 도움이 됐어요", "praise"),
    (KO, "역시 최고야", "praise"),
    (KO, "딱 원하던 거야", "praise"),
    (KO, "네 감사합니다 그럼 뉴질랜드는요?", "praise"),
    (KO, "다시 대답해줘", "reask"),
    (KO, "호주의 수도는 어디야", "reask"),
    (KO, "호주의 수도는 어디인가요?", "reask"),
    (KO, "다시 물을게: 호주의 수도가 어디야?", "reask"),
    (KO, "아니, 호주의 수도는 어디야?", "complaint reask"),
    (KO, "아니 그럼 인구는 몇 명이야?", ""),
    (KO, "아니면 시드니는 어때?", ""),
    (KO, "감사 인사 문구 하나 써줘", ""),
    (KO, "좋아하는 색이 뭐야?", ""),
    (KO, "좋은 여행지 추천해줘", ""),
    (KO, "완벽한 커피 내리는 법", ""),
    (KO, "틀린 그림 찾기 앱 추천", ""),
    (KO, "다시 태어나면 뭐 하고 싶어?", ""),
    (KO, "짧게 다녀올 여행지 있어?", ""),
    (KO, "정확한 인구 수는?", ""),
    (KO, "고맙다는 말을 영어로?", ""),
    (KO, "오스트리아의 수도는 어디야?", ""),
    (KO, "그럼 면적은?", ""),
    (KO, "응", ""),
    (KO, "계속해줘", ""),
    (KO, "너무 긴 이름을 가진 도시는?", ""),
    (KO, "알겠어", ""),
    (KO, "내 말투가 이상해?", ""),
    (KO, "잘못된 만남 가사 누가 썼어?", ""),
    (KO, "최고 기온은 몇 도야?", ""),
    (KO_ASKED, "아니요", ""),
    (KO_ASKED, "아니요 괜찮아요", ""),
    (KO_ASKED, "네 좋아요", ""),
    (EN, "Danke, perfekt!", "praise"),
    (EN, "Nein, das stimmt nicht", "complaint"),
    (EN, "Danke im Voraus", ""),
    (EN, "No, eso es incorrecto", "complaint"),
    (EN, "Gracias por adelantado", ""),
    (EN, "merci beaucoup", "praise"),
    (EN, "Merci de traduire ce texte", ""),
    (EN, "違います", "complaint"),
    (EN, "ありがとうございます！", "praise"),
    (EN, "ありがとうは英語で何？", ""),
    (EN, "不对，是墨尔本吧", "complaint"),
    (EN, "谢谢你", "praise"),
    (EN, "不对称加密是什么？", ""),
]

# New topics that begin as verdicts do, written to provoke once the table was finished: 14 were misread then, and the
# eight that still are show what is not covered.
HARD = [
    (EN, "No man's land: where does the term come from?", ""),
    (EN, "No, but seriously, what do they eat there?", ""),
    (EN, "No hurry. Which museums are open on Monday?", ""),
    (EN, "No comment from the government yet?", ""),
    (EN, "Wrong number, what should I answer?", ""),
    (EN, "Wrongful dismissal in Australia, how does it work?", ""),
    (EN, "This is wrong on my visa: the birth date. Whom do I call?", ""),
    (EN, "That's not right of him, is it?", ""),
    (EN, "It doesn't help that I live in Perth. Any flights?", ""),
    (EN, "I meant to visit Darwin last year, when is the dry season?", ""),
    (EN, "I said not to worry her, was that right?", ""),
    (EN, "You forgot the milk, as a haiku", ""),
    (EN, "Too short to be a jockey, too tall to be a pilot: who am I?", ""),
    (EN, "Too many cooks: what does it mean?", ""),
    (EN, "Shorter days in winter, why?", ""),
    (EN, "In one word?", ""),
    (EN, "False positives in medical tests, explain", ""),
    (EN, "Useless facts about Canberra please", ""),
    (EN, "Terrible twos, how long do they last?", ""),
    (EN, "Thanks to you I passed. How do I celebrate?", ""),
    (EN, "Thank you speech for a retirement", ""),
    (EN, "thanks giving is when in Canada?", ""),
    (EN, "Cheers in Japanese?", ""),
    (EN, "Perfect day for a picnic, what do I pack?", ""),
    (EN, "Perfect, imperfect and pluperfect in Latin", ""),
    (EN, "Excellent wines from the Barossa", ""),
    (EN, "Great news! I got the job. What do I wear on day one?", ""),
    (EN, "Awesome Inc. - do you know the firm?", ""),
    (EN, "Good: what is it, according to Plato?", ""),
    (EN, "Nice weather today", ""),
    (EN, "Cool down my laptop, how?", ""),
    (EN, "That helps the economy how exactly?", ""),
    (EN, "It works on my machine. Where does the joke come from?", ""),
    (EN, "You're the best man at a wedding; write a speech", ""),
    (EN, "I love this country", ""),
    (EN, "Again? What is the German word", ""),
    (EN, "Try again later: how is this error shown in French?", ""),
    (EN, "My question was ignored by the council. Write to them.", ""),
    (EN, "As I said to my wife, Hobart is colder. Am I right?", ""),
    (EN, "What is the capital of Austria and Hungary?", ""),
    (EN, "What is the largest city of Australia?", ""),
    (EN, "what was the capital of Australia in 1910?", ""),
    (KO, "아니 이런 건 어디서 사?", ""),
    (KO, "아니 벌써 가을이네", ""),
    (KO, "아니오와 예의 차이", ""),
    (KO, "그게 아니더라도 갈 만한 곳", ""),
    (KO, "그런 게 아니고서야 왜 수도를 새로 지었지?", ""),
    (KO, "틀렸어도 괜찮아라는 책 저자", ""),
    (KO, "틀린 문장을 고쳐줘", ""),
    (KO, "틀린 말은 아니지", ""),
    (KO, "너무 길어진 회의를 끝내는 법", ""),
    (KO, "너무 짧은 치마", ""),
    (KO, "너무 짧다는 느낌의 영화", ""),
    (KO, "짧게 여행하기 좋은 곳", ""),
    (KO, "쉽게 만드는 파스타", ""),
    (KO, "간단하게 저녁 먹자", ""),
    (KO, "다시 태어난다면 캔버라에 살래", ""),
    (KO, "다시 써야 하는 보고서가 있어", ""),
    (KO, "다시 물어볼게 있어서 왔어", ""),
    (KO, "고마워요 선생님 노래 찾아줘", ""),
    (KO, "고맙습니다 카드 문구", ""),
    (KO, "감사하는 마음이란?", ""),
    (KO, "감사일기 쓰는 법", ""),
    (KO, "완벽한 답변이란 뭘까", ""),
    (KO, "완벽해 보이는 사람의 약점", ""),
    (KO, "좋아지는 법", ""),
    (KO, "좋네 안 좋네 말이 많아, 왜 그럴까", ""),
    (KO, "정확해야 하는 직업", ""),
    (KO, "맞다 틀리다 퀴즈 만들어줘", ""),
    (KO, "최고다 이순신은 몇 부작이야?", ""),
    (KO, "대단하네 소리 듣는 법", ""),
    (KO, "해결됐다는 메일 써줘", ""),
    (KO, "도움이 됐다는 후기 써줘", ""),
    (KO, "잘됐다고 축하하는 말", ""),
    (KO, "호주의 수도가 바뀐 적 있어?", ""),
]


def kinds(case):
    (prompt, answer), message, _ = case
    return {one.kind for one in implied(prompt, answer, message)}


@pytest.mark.parametrize("case", ENGLISH + KOREAN + OTHERS, ids=lambda case: case[1][:40])
def test_a_message_implies_what_it_says_and_no_more(case):
    assert kinds(case) == set(case[2].split())


def test_at_least_a_third_of_the_cases_say_nothing():
    for cases, at_least in ((ENGLISH, 80), (KOREAN, 50)):
        assert len(cases) >= at_least
        assert sum(not expected for *_, expected in cases) >= len(cases) / 3


def test_precision_and_recall_on_the_cases_that_were_held_out():
    pairs = [(kinds(case), set(case[2].split())) for case in HELD_OUT]
    right = sum(len(found & expected) for found, expected in pairs)
    assert right / sum(len(found) for found, _ in pairs) >= 0.98
    assert right / sum(len(expected) for _, expected in pairs) >= 0.89


def test_most_new_topics_that_begin_as_verdicts_do_are_not_misread():
    assert sum(kinds(case) != set() for case in HARD) <= 8


def test_every_cue_stands_in_some_case():
    met = {cue for _, message, _ in ENGLISH + KOREAN + OTHERS for cue, _ in nm._hits(*nm._own_words(message))[0]}
    assert [cue for cue in CUES if cue not in met] == []


def test_a_near_duplicate_is_surer_than_a_rougher_one():
    prompt = "How do I install Python on Windows?"
    (same,) = implied(prompt, "Download it.", "how do i install python on windows")
    (longer,) = implied(prompt, "Download it.", "How do I install Python on Windows, step by step?")
    assert same == Implied("reask", 0.9, "100% of the prompt again")
    assert (longer.kind, longer.confidence) == ("reask", 0.5)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("What is the capital of France?", "What is the capital of Italy?"),
        ("How warm is it in Austria today?", "How warm is it in Australia today?"),
        ("What happened in the year 1998?", "What happened in the year 1999?"),
        ("What does print(2 + 3 * 4) show?", "What does print(2 * 3 + 4) show?"),
        ("How many people live in Canberra?", "How many people lived in Canberra in 1950?"),
        ("프랑스의 수도는 어디야?", "프로이센의 수도는 어디야?"),
        ("Tell me a fun fact about owls", "Tell me another fun fact about owls"),
        ("Tell me a riddle, please", "Tell me a riddle, please"),
        ("continue with the story", "continue with the story"),
    ],
)
def test_another_question_of_the_same_form_is_no_reask(prompt, message):
    assert implied(prompt, "An answer.", message) == ()


def test_a_typo_or_another_ending_is_still_the_same_question():
    assert implied("How does photosynthesis work?", "...", "How does photosyntesis work?")[0].kind == "reask"
    assert implied("광합성의 원리를 설명해줘", "...", "광합성의 원리를 설명해 주세요")[0].kind == "reask"


def test_praise_that_opens_a_request_counts_less():
    (alone,) = implied(*EN, "great")
    (opening,) = implied(*EN, "great, now do the same for Italy")
    assert opening.kind == alone.kind == "praise"
    assert opening.confidence < alone.confidence


def test_what_is_torn_says_nothing():
    assert implied(*EN, "Thanks. It doesn't work.") == ()


def test_only_the_first_sentence_of_a_long_message_is_read():
    story = " He walked on and on through the rain until the road ended." * 10
    assert [one.kind for one in implied(*EN, "That's wrong." + story)] == ["complaint"]
    assert implied(*EN, story + " That's wrong. You misunderstood me.") == ()


def test_code_quotations_and_quoted_lines_are_not_the_users_words():
    assert implied(*EN, "> That's wrong.\n> Too long.\nWho wrote this?") == ()
    assert implied(*EN, "```\nno, wrong\n```") == ()
    assert implied(*EN, "‘That’s wrong’ in French?") == ()
    assert [one.kind for one in implied(*EN, "> It is Canberra.\nThat’s wrong.")] == ["complaint"]


def test_full_width_forms_missing_apostrophes_and_lax_spacing_make_no_difference():
    assert implied(*EN, "ＴＨＡＮＫＳ！")[0].kind == "praise"
    assert implied(*EN, "thats not what i asked")[0].kind == "complaint"
    assert implied(*KO, "너무길어")[0].kind == "complaint"


def test_the_reason_names_the_cue():
    assert implied(*EN, "no, that's wrong") == (Implied("complaint", 0.8, 'begins with "that\'s wrong"'),)
    assert implied(*EN, "다시")[0].reason == 'is only "다시"'
    assert repr(implied(*EN, "No. Way too long!")) in nm.__doc__


def test_nothing_implied_weighs_as_much_as_a_rating():
    assert set(WEIGHTS) == {cue.kind for cue in CUES} == {"reask", "complaint", "praise"}
    assert all(0 < cue.confidence <= 1 for cue in CUES)
    assert all(0 < abs(weight.value) <= 0.5 and weight.reason for weight in WEIGHTS.values())
    assert WEIGHTS["praise"].value > 0 > max(WEIGHTS["reask"].value, WEIGHTS["complaint"].value)


PIECES = st.sampled_from([message for _, message, expected in ENGLISH + KOREAN + OTHERS if expected])
JOINS = st.sampled_from([" ", ", ", ". ", " but ", "\n", "! ", " 근데 ", ""])


@settings(max_examples=300, deadline=None)
@given(
    prompt=st.text(), message=st.text() | st.builds(lambda *parts: "".join(parts), PIECES, JOINS, PIECES, JOINS, PIECES)
)
def test_never_praise_and_complaint_both_nor_one_kind_twice(prompt, message):
    for answer in ("An answer.", "An answer?"):
        found = [one.kind for one in implied(prompt, answer, message)]
        assert len(found) == len(set(found))
        assert not {"praise", "complaint"} <= set(found)


@pytest.mark.parametrize(
    "part", ["word ", "no, ", "아니 ", "so ", " ", "\n", "> a\n", "'", '"', "```", "😀", "thanks a lot "]
)
def test_a_message_of_a_megabyte_takes_well_under_50_ms(part):
    message = part * (1_000_000 // len(part))
    took_s = []
    for _ in range(3):
        begin = time.perf_counter()
        implied(message[:-1], "An answer.", message)
        took_s.append(time.perf_counter() - begin)
    assert min(took_s) < 0.05


@pytest.mark.parametrize(
    ("message", "kinds"),
    [
        ("thanks but that's wrong", {"complaint"}),
        ("thank you but the second one is wrong", {"complaint"}),
        ("아니, 숨김 파일 말이야", {"complaint"}),
        ("아니요, 숨김 파일 말입니다", {"complaint"}),
        ("아니야 틀렸어", {"complaint"}),
        ("아니 괜찮아", set()),
        ("아니요 고마워요", {"praise"}),
        ("그 말이야 맞지", set()),
    ],
)
def test_a_verdict_behind_manners_or_a_bare_no(message: str, kinds: set[str]) -> None:
    found = implied("How do I list hidden files?", "Use ls -a to list them.", message)
    assert {one.kind for one in found} == kinds
