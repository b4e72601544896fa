"""The set phrases by which a next message judges the answer before it, by language: data, one entry a phrase.

Every cue stands in some case of tests/feedback/test_nextmessage.py, which fails for one that does not.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

ImpliedKind = Literal["reask", "complaint", "praise"]
Where = Literal["whole", "clause", "statement", "start", "anywhere"]


@dataclass(frozen=True, slots=True)
class Cue:
    """A set phrase. `pattern` is a regular expression over case-folded text; in it ' may be missing from the text.

    `where` it must stand: "whole" ends the message; after "clause" comes punctuation or the end; after "start" any
    other word; a "statement" is a start too, but of no question; these four begin the message or follow another cue.
    "anywhere" is anywhere in a short message.
    `answers`: it may as well answer a question that the model asked, and says nothing then.
    """

    language: str
    kind: ImpliedKind
    where: Where
    confidence: float
    pattern: str
    answers: bool = False


# What may stand before a cue, between cues, and after one that is the whole message.


# "that's", "your answer is still", "they were": what an English verdict begins with.
_IT = (
    r"(?:(?:that|this|it|(?:the|your) (?:whole |first |second |third |last )?(?:answer|reply|response|result|output|"
    r"text|code|summary|translation|list|explanation|number|date|formula|link|line|part|one))"
    r"(?:'s| is| was| looks| seems| sounds)|(?:these|those|they|you)(?:'re| are| were))"
    r"(?: (?:still|way|much|far|just|so|really|totally|completely|simply|all|also|very|actually|a bit|a little))*"
)
# What makes a "no" something other than a complaint: "no thanks", "No. 5", "no, that's all", "no, she said".
_NO_BUT = (
    r"(?!\.? ?\d|\. of\b|[,.!;]* (?:thanks?|thank you|thx|problem|worries|need|one|idea|nothing|never ?mind|"
    r"go ahead|really|(?:but )?seriously|not (?:yet|really|now)|all good|she|he|they|we|you're (?:right|good|fine)|"
    r"please (?:do|go|continue)|"
    r"it's (?:ok|okay|fine|good|all)|that's (?:all|it|ok|okay|fine|good|great|perfect|everything|enough)|"
    r"that (?:was|is|will be) all|i'm (?:good|fine|ok|okay|done)|"
    r"i (?:don't (?:know|have|mind|care)|didn't (?:know|realise|realize)|haven't|have|do|am|was(?! asking)|never))\b)"
)
# After the comma of "great, ..." a request goes on; in "nice, France" and "good, bad and ugly" it is no praise.
_ONWARD = (
    r"(?!, (?!(?:now|and|but|so|then|next|also|thanks?|thank|thx|can|could|would|will|what|how|please|do|let's|let|i|"
    r"i'm|that|that's|this|it|it's|you|one|just|no|not|though|except)\b))"
)
_LATER = r"(?![^.!?]{0,20} (?:in advance|ahead of time|but no))"
# Korean: endings of a finished sentence, what a verdict is about, and talk about a word rather than with it.
_DONE = r"(?:어요?|네요?|잖아요?|는데요?|다|음|습니다|거든요?|지요?|죠|군요?)"
_THIS = (
    r"(?:(?:(?:그|이)(?:거|건|게)|(?:네 |너의 )?(?:답|대답|답변|글|내용|설명|요약|문장|번역|결과|코드|계산|날짜|숫자)"
    r"(?:이|가|은|는)?|네가|당신이|또|다|완전|전부|아직도?|여전히|좀|조금) )*"
)
_TALK = (
    r"(?!\s*(?:라는|라고|란|를|의|이라|싶|보이|스티커|노래|가사|문구|인사|카드|편지|"
    r"영어|일본어|중국어|뜻|메시지|답장|하는))"
)
_PLEASE = r"(?:줘요?|주세요|주실래요|줄래요?|줄 수 있\w+|봐요?|봐 ?줘|보세요|라|해요?|드립니다|드려요)"
_TELL = (
    r"(?:써|작성해|답해|답변해|대답해|말해|말씀해|설명해|정리해|요약해|번역해|계산해|풀어|적어|생성해|만들어|알려|해)"
)

# fmt: off
CUES: tuple[Cue, ...] = (
    # English: complaints
    Cue("en", "complaint", "clause", 0.6, rf"(?:no+|nope|nah)(?:,? no)*{_NO_BUT}", answers=True),
    Cue("en", "complaint", "start", 0.6,
        rf"no{_NO_BUT}(?= (?:that|this|it's|you|wrong|not (?:that|the|what)|i (?:mean|said|ask|want|need)))",
        answers=True),
    Cue("en", "complaint", "clause", 0.8, r"wrong(?: (?:answer|again|one|language|question))?|incorrect"),
    Cue("en", "complaint", "clause", 0.6, r"false|not really|i don't think so", answers=True),
    Cue("en", "complaint", "clause", 0.7,
        r"not (?:true|right|correct|accurate|quite|good|great|helpful|useful|working|enough|it|that|even close|"
        r"what i\b[^,.;?]{1,30})(?: (?:at all|either|right|enough|one))*"),
    Cue("en", "complaint", "statement", 0.8,
        rf"{_IT} (?:wrong|incorrect|inaccurate|nonsense|useless|not (?:right|correct|true|it|what|helpful|working|"
        r"even))"),
    Cue("en", "complaint", "clause", 0.7, rf"{_IT} (?:bad|terrible|awful|garbage|rubbish|off|broken|false|made up)"),
    Cue("en", "complaint", "statement", 0.8,
        r"(?:that|this|it) (?:isn't|wasn't) (?:right|correct|true|what|helpful|it\b)"),
    Cue("en", "complaint", "statement", 0.7,
        r"(?:that|this|it) (?:still )?(?:doesn't|didn't|does not|did not) (?:work|help(?! that)|make (?:any )?sense|"
        r"answer|run)|(?:that|this|it) makes no sense|still (?:not working|broken|failing|the same)"),
    Cue("en", "complaint", "start", 0.75,
        r"i meant(?! (?:a lot|so much|everything|nothing|the world|well|no harm|something|to)\b)|"
        r"what i mean(?:t)? (?:was|is)|i mean the\b"),
    Cue("en", "complaint", "statement", 0.7,
        r"i (?:didn't ask|wasn't asking|was asking (?:about|for|if|how|what|why|who|which|where|when)|never asked)"),
    Cue("en", "complaint", "statement", 0.65,
        r"i said (?:in (?:one|english|korean|\d)|not|without|only|at most|under)"),
    Cue("en", "complaint", "start", 0.7,
        r"i don't (?:think|believe) (?:that|this|it)(?:'s| is) (?:right|correct|true)"),
    Cue("en", "complaint", "anywhere", 0.85,
        r"not what i(?:'m| was| am)? (?:ask(?:ed|ing)|mean|meant|wanted|said|need)"),
    Cue("en", "complaint", "anywhere", 0.75,
        r"you (?:(?:completely |totally )?misunderstood(?! (?:her|him|them))|misread (?:my|the)|didn't answer|"
        r"got (?:it|that|this) wrong)|(?:doesn't|didn't|does not|did not) answer (?:my|the) question"),
    Cue("en", "complaint", "statement", 0.65, r"you (?:forgot|ignored|missed) (?:the|to|about|what)|you keep \w+ing"),
    Cue("en", "complaint", "clause", 0.8,
        rf"(?:{_IT} )?(?:(?:way|much|far|a bit|a little|still) )*too (?:long|short|verbose|wordy|complicated|vague|"
        r"technical|generic|detailed|much (?:text|detail))(?: for (?:me|a \w+|this))?"),
    Cue("en", "complaint", "whole", 0.55,
        r"(?:(?:can|could|would) you )?(?:please )?(?:make (?:it|this|that) |keep (?:it|this|that) )?(?:(?:a bit|"
        r"a lot|a little|much|even|more) )*(?:shorter|simpler|brief|briefer|concise|clearer|short)(?:,? please)?\??",
        answers=True),
    Cue("en", "complaint", "whole", 0.55,
        r"(?:just |only |please )*in (?:one|1|two|2|a single|a few|fewer) (?:short )?(?:sentence|line|word|"
        r"paragraph)s?(?:,? please)?|shorten (?:it|this|that)(?:,? please)?|tl;?dr|eli5|"
        r"in (?:plain )?english,? please", answers=True),
    Cue("en", "complaint", "clause", 0.6,
        r"(?:bad|terrible|useless|wrong) (?:answer|bot|response)|terrible|useless|(?:awful|garbage|nonsense|"
        rf"bullshit|rubbish|ridiculous|disappointing|wtf|meh){_ONWARD}|👎+"),
    Cue("en", "complaint", "whole", 0.4, r"are you (?:really |absolutely )?sure(?: about (?:that|this|it))?\??"),
    Cue("en", "complaint", "whole", 0.4, r"i (?:still )?don't (?:get it|understand)"),
    # English: praise
    Cue("en", "praise", "clause", 0.6,
        r"(?:many )?(?:thanks|thank (?:you|u)|thankyou|thx|tnx|ty|tysm|cheers(?!, the))(?: (?:a (?:lot|ton|"
        rf"million)|so much|very much|again|man|mate|bro|buddy|both|everyone))*{_LATER}"),
    Cue("en", "praise", "start", 0.6,
        r"(?:thanks|thank you|thx)(?: so much| a lot)? for (?:(?:the|that|this|your|all|quick|great|clear|"
        r"detailed) )*(?:help|answer|explanation|tips?|info\w*|clarif\w+|correction|advice|suggestions?|explaining|"
        rf"that|this){_LATER}"),
    Cue("en", "praise", "start", 0.5,
        r"(?:thanks|thank you|thx)(?= (?:that|this|it|now|can|could|what|how|i|perfect|great|one|next|"
        rf"also)\b){_LATER}"),
    Cue("en", "praise", "clause", 0.8,
        rf"(?:{_IT} )?(?:absolutely |just |simply )?(?:perfect|excellent|brilliant|fantastic|amazing|awesome|"
        rf"wonderful|superb|outstanding|spot on){_ONWARD}|nailed it|bravo|exactly|works (?:perfectly|great)|"
        r"works like a charm",
        answers=True),
    Cue("en", "praise", "start", 0.9,
        r"(?:(?:that|this|it)(?:'s| is| was) )?(?:exactly|just) what i (?:needed|wanted|meant|asked for|"
        r"was looking for)"),
    Cue("en", "praise", "clause", 0.6,
        rf"(?:{_IT} )?(?:great|lovely|beautiful|correct(?!:)|helpful|useful|informative|(?:much )?better|"
        rf"well (?:done|written|explained|put)){_ONWARD}|(?:great|good|excellent|amazing|awesome|nice|fantastic|"
        r"perfect) (?:job|work|answer|stuff|one|explanation)|i? ?love (?:it|this|that)|👍+|👏+|💯+", answers=True),
    Cue("en", "praise", "clause", 0.4,
        rf"(?:good|nice|cool|sweet|neat){_ONWARD}|sounds good|you're right", answers=True),
    Cue("en", "praise", "clause", 0.5, rf"{_IT} (?:good|nice|cool|right|neat)", answers=True),
    Cue("en", "praise", "start", 0.5,
        r"(?:great|perfect|awesome|nice|cool|excellent|good|lovely|amazing)(?= (?:now|can you|could you|what about|"
        r"next|please|thanks|thank you|thx)\b)", answers=True),
    Cue("en", "praise", "clause", 0.75,
        r"you're (?:great|amazing|awesome|the best|a (?:genius|life ?saver|star|legend))"),
    Cue("en", "praise", "clause", 0.65,
        r"(?:(?:that|this|it|which) )(?:really |totally |now |finally |actually )*(?:works?|worked|helps?|helped|"
        r"fixed it|solved it|did it|did the trick|makes (?:perfect |total |so much )?sense)(?: (?:now|perfectly|"
        r"great|well|a lot|so much))*|it's working(?: now)?"),
    # English: asked again
    Cue("en", "reask", "whole", 0.65,
        r"(?:please )?(?:again|once (?:again|more)|one more time|(?:please )?try (?:it |that )?again|do (?:it|"
        r"that) again|redo(?: it| that)?|retry|regenerate|(?:answer|say it|say that) again)(?:,? please)?"),
    Cue("en", "reask", "start", 0.7, r"(?:once )?again ?:|once (?:again|more)(?=,)|i repeat(?=[,:])|i asked ?:"),
    Cue("en", "reask", "start", 0.65,
        r"(?:as|like) i (?:already |just )?(?:asked|said)(?! to\b)|try again(?= (?:with|but|in|and)\b)"),
    Cue("en", "reask", "start", 0.6,
        r"i asked (?:what|how|why|who|when|where|whether|which|you)(?! (?:she|he|they|his|her|my)\b)|"
        r"my question was\b"),
    Cue("en", "reask", "clause", 0.7,
        r"(?:let me|i'll|i will) (?:ask (?:you )?again|(?:rephrase|reword|repeat)(?: (?:it|that|(?:my|"
        r"the) question))?)"),
    Cue("en", "reask", "start", 0.7, r"(?:just )?(?:answer|read) my (?:actual |original |first )?(?:question|message)"),
    # Korean: complaints. A bare 아니 before a question is an interjection ("아니 그럼 인구는?"): it says nothing.
    Cue("ko", "complaint", "whole", 0.65,
        r"아니(?: 아니)*|아니야|아니지|아닌데요?|아니라(?:고|니까)요?|아님|ㄴㄴ+", answers=True),
    Cue("ko", "complaint", "clause", 0.5,
        r"(?:아니(?!\s*,)|아니야|아니지|아닌데요?)(?!.*\?)(?![\s,.]*(?:괜찮|됐|고마|다행|없))", answers=True),
    Cue("ko", "complaint", "clause", 0.6,
        r"(?:아뇨|아니요|아니오|아니에요|아니예요|아닙니다|아닌데요)(?![\s,.]*(?:괜찮|됐|고마|고맙|감사|없|다행|"
        r"아직))", answers=True),
    Cue("ko", "complaint", "start", 0.8,
        r"아니 (?:그거 말고|내 ?말은|제 ?말은|내가 (?:물|묻|말|원)|제가 (?:물|묻|말|원|여쭤))\w*|"
        r"(?:아니(?:야|요|에요|예요)?|아뇨)[ ,.!]{1,3}[^.?!,]{1,60} 말(?:이야|이에요|이예요|입니다|이요|이죠|인데요?)"),
    Cue("ko", "complaint", "statement", 0.8,
        r"(?:(?:내|제) (?:질문|말|뜻)은 )?(?:(?:그|이)(?:게|거|건)|그런 (?:게|거|뜻이?|말이?|의미가?)|그 (?:뜻|말|"
        r"의미)(?:이|가)?) (?:아니(?!니)(?!\w*(?:면|어도|라도|을까))\w+|아닌데\w*|아닙니다)"),
    Cue("ko", "complaint", "start", 0.5, r"(?:그|이)(?:거|것|런 ?거) 말고"),
    Cue("ko", "complaint", "start", 0.65,
        r"(?:내|제) ?말(?:은|뜻은)(?!\s*(?:항상|늘|아무도|왜|잘|전혀|안 ))|(?:내|제)가 (?:물은|묻는|물어본|말한|"
        r"여쭤본) (?:건|것은|게|거)"),
    Cue("ko", "complaint", "statement", 0.8,
        rf"{_THIS}(?:틀렸{_DONE}|틀려요?|틀립니다|틀림|틀린 (?:것|거) 같{_DONE}?\w*)"),
    Cue("ko", "complaint", "clause", 0.75,
        rf"{_THIS}틀린 (?:듯|답|대답|답변|내용|정보|말)\w*|오답(?:이야|이네요?|입니다|인데요?)?|땡"),
    Cue("ko", "complaint", "statement", 0.75,
        rf"{_THIS}너무 (?:길(?:어요?|다(?! ?싶)|네요?|잖아요?)|깁니다|긴데요?|짧(?:아요?|다|네요?|은데요?))"),
    Cue("ko", "complaint", "statement", 0.75,
        rf"{_THIS}너무 (?:길어서|긴|짧은) (?:못 읽|안 읽|읽기|보기|(?:것|거) 같|듯)\w*"),
    Cue("ko", "complaint", "clause", 0.55,
        rf"{_THIS}너무 (?:어려(?:워요?|운데요?)|어렵\w+|복잡(?:해요?|하네요?|한데요?|합니다)|장황\w+)"),
    Cue("ko", "complaint", "whole", 0.55,
        r"(?:(?:좀|조금|더|훨씬|다시|제발) )*(?:짧게|짧고 간단하게|간단히|간단하게|간략히|간략하게|쉽게|쉬운 말로|"
        r"핵심만|결론만|줄여|한 (?:줄|문장|마디|단어)(?:로|으로)(?:만)?)(?: (?:다시|"
        rf"좀))*(?: (?:{_TELL} ?{_PLEASE}?|{_PLEASE}|부탁\w*))?", answers=True),
    Cue("ko", "complaint", "statement", 0.7,
        rf"{_THIS}잘못 (?:(?:이해했|이해하셨|이해하고 있|알아들었|알고 있|읽었|답했|번역했|계산했|됐|되었){_DONE}|"
        r"(?:이해한|이해하신|알아들은|된) (?:것|거) 같\w*)"),
    Cue("ko", "complaint", "clause", 0.65,
        r"(?:여전히|아직도?|그래도|계속) .{0,15}?(?:안 ?(?:돼|되|됩)|에러|오류|똑같)\w*(?: (?:나|떠|뜨)\w*)?"),
    Cue("ko", "complaint", "clause", 0.6,
        r"(?:안 (?:돼요?|되네요?|됩니다|되는데요?)|별로(?:야|예요|네요?|다|인데요?|임)?|(?:작동|동작) 안 \w+)"),
    Cue("ko", "complaint", "statement", 0.7,
        rf"도움이? (?:전혀 )?안 (?:돼요?|되네요?|됩니다|되는데요?|됐{_DONE})|(?:마음|맘)에 안 (?:들어요?|드네요?|"
        rf"듭니다|들었{_DONE}|든다)"),
    Cue("ko", "complaint", "statement", 0.7,
        r"(?:그|이)건 사실(?:이|과|과는) (?:아니|다르|달라)\w*|사실과 (?:달라|다르|다릅)\w*"),
    Cue("ko", "complaint", "clause", 0.6,
        r"(?:답변?|대답|번역|결과|문장|설명)(?:이|가) (?:좀 )?이상(?:해요?|한데요?|하네요?|합니다)|말이 안 (?:돼|"
        r"되|됩)\w*"),
    Cue("ko", "complaint", "whole", 0.55,
        r"(?:이게 )?(?:뭔|무슨) (?:소리|말)(?:이야|야|이에요|예요|이죠|인지 모르겠\w*|하는 거\w*)?\??|헛소리\w*|"
        r"엉망\w*"),
    Cue("ko", "complaint", "start", 0.65,
        r"(?:(?:내|제) )?질문에 (?:답|대답|답변)(?:을|은)? (?:안|하지|해|부터)\w*|묻는 말에\w*"),
    Cue("ko", "complaint", "whole", 0.6,
        rf"(?:영어|일본어|중국어) 말고 (?:한국어|한글|우리말)로?(?: {_TELL} ?{_PLEASE}?)?"),
    Cue("ko", "complaint", "anywhere", 0.55, r"(?:물었|물어봤|라고 했|달라고 했)잖아요?"),
    # Korean: praise
    Cue("ko", "praise", "start", 0.65,
        r"(?:고마워(?:요|용)?|고맙(?:습니다|네요?|다|구나)|감사(?:합니다|해요?|드려요|드립니다|감사)|땡큐|"
        rf"(?:ㄱㅅ)+|ㄳ){_TALK}"),
    Cue("ko", "praise", "clause", 0.65, rf"감사(?!,){_TALK}"),
    Cue("ko", "praise", "start", 0.8, rf"완벽(?:해요?|합니다|하네요?|하다|하군요?){_TALK}", answers=True),
    Cue("ko", "praise", "clause", 0.8, r"완벽|굿+|굳+|짱|대박|최고", answers=True),
    Cue("ko", "praise", "clause", 0.45,
        r"좋(?:아요?|네요?|다|습니다|은데요?|군요?|구나)|(?:(?:네|니|당신) ?말이 )?맞(?:아요?|네요?|습니다)",
        answers=True),
    Cue("ko", "praise", "start", 0.45,
        r"좋(?:아요?|네요?|습니다|은데)(?=\s(?:이제|그럼|그러면|다음|그렇게|고마|감사|이번|계속|이대로|바로))",
        answers=True),
    Cue("ko", "praise", "start", 0.75,
        rf"정확(?:해요?|합니다|하네요?|하다|하군요?){_TALK}|바로 (?:그거|이거)(?:야|예요|에요|네요?|지)?"),
    Cue("ko", "praise", "start", 0.75,
        r"딱 (?:좋(?:아|네|습|다)\w*|맞(?:아|네|습)\w*)|딱이(?:야|네요?|에요|다)|(?:내가|제가) 원하던 (?:거|것|"
        r"답)\w*"),
    Cue("ko", "praise", "start", 0.7,
        r"(?:최고(?:야|다|네요?|예요|에요|입니다)|훌륭(?:해요?|하네요?|합니다|하다)|멋(?:져요?|지네요?|지다|"
        rf"집니다)|대단(?:해요?|하네요?|합니다)|잘 했{_DONE}|잘 하(?:네요?|는데)|천재(?:야|네요?|다)){_TALK}"),
    Cue("ko", "praise", "start", 0.7,
        rf"(?:많은 |큰 )?도움이? (?:많이 |정말 |크게 )?(?:(?:됐|되었){_DONE}|됩니다|돼요?|되네요?)"),
    Cue("ko", "praise", "start", 0.7,
        rf"해결(?:됐|했|되었){_DONE}|(?:이제 )?잘 (?:된다|됩니다|돼요?|되네요?|됐{_DONE})|(?:마음|"
        r"맘)에 (?:쏙 )?(?:들어요?|듭니다|드네요?|든다)"),
    # Korean: asked again. "다시 말해, ..." is "in other words".
    Cue("ko", "reask", "whole", 0.65,
        rf"(?:처음부터 |(?:그거|설명|번역|답변?|계산) )?다시(?: 한 번)?(?: 좀)?(?: (?:{_TELL} ?{_PLEASE}?|"
        r"생각해 ?\w+|시도해 ?\w+|확인해 ?\w+|부탁\w*))?"),
    Cue("ko", "reask", "whole", 0.5, r"한 번 더(?: (?:해|부탁)\w*)?"),
    Cue("ko", "reask", "start", 0.7,
        r"다시 ?:|다시 (?:한 번 )?(?:물을게|물어볼게|묻는데|묻습니다|묻겠습니다|말할게|말하는데|질문할게|"
        r"질문합니다|여쭤볼게)요?"),
    Cue("ko", "reask", "start", 0.6, rf"다시 (?:한 번 )?{_TELL} ?(?:줘요?|주세요|봐)"),
    Cue("ko", "reask", "start", 0.55, r"(?:아까|방금|앞에서) (?:말했|물었|물어봤|질문했)(?:듯이|잖아요?|는데)"),
    # A few safe ones in other languages.
    Cue("de", "complaint", "clause", 0.65,
        r"nein(?!,? danke)|falsch|das (?:ist|war) (?:leider )?falsch|(?:das ist )?(?:viel )?zu lang"),
    Cue("de", "complaint", "start", 0.75,
        r"das (?:stimmt|meinte ich) (?:so )?nicht|ich meinte|das war nicht (?:die|meine) frage"),
    Cue("de", "complaint", "whole", 0.55, r"(?:bitte )?(?:viel |etwas )?kürzer(?:,? bitte)?", answers=True),
    Cue("de", "praise", "clause", 0.6,
        r"danke(?: schön| dir| sehr)?(?! im voraus)|vielen dank(?! im)|perfekt|super|genau richtig"),
    Cue("de", "reask", "whole", 0.6,
        r"(?:bitte )?(?:noch ?mal|noch einmal|versuch(?:e)? es noch ?(?:ein)?mal)(?:,? bitte)?"),
    Cue("es", "complaint", "clause", 0.7,
        r"(?:eso es |es |está )?(?:incorrecto|equivocado)|(?:eso )?está mal|demasiado largo"),
    Cue("es", "complaint", "start", 0.75, r"(?:eso )?no es (?:eso )?lo que (?:pregunté|pedí)|me refería a|quise decir"),
    Cue("es", "complaint", "whole", 0.55, r"más (?:corto|breve)(?:,? por favor)?", answers=True),
    Cue("es", "praise", "clause", 0.6,
        r"(?:muchas |mil )?gracias(?! (?:de antemano|por adelantado))|perfecto|excelente"),
    Cue("es", "reask", "whole", 0.6, r"otra vez(?:,? por favor)?|de nuevo|inténtalo de nuevo"),
    Cue("fr", "complaint", "clause", 0.65,
        r"non(?!,? merci)|(?:c'est )?faux|c'est pas (?:ça|bon)|(?:c'est )?(?:beaucoup )?trop long"),
    Cue("fr", "complaint", "start", 0.75, r"(?:ce )?n'est pas ce que j'ai demandé|je voulais dire|je parlais de"),
    Cue("fr", "complaint", "whole", 0.55, r"plus court(?:,? s'il (?:te|vous) pla[iî]t)?", answers=True),
    Cue("fr", "praise", "clause", 0.6, r"merci(?: beaucoup| bien)?(?! d)|(?:c'est )?parfait|génial"),
    Cue("fr", "reask", "whole", 0.6, r"encore une fois|recommence|réessaie"),
    Cue("ja", "complaint", "clause", 0.7,
        r"違(?:う|います)(?:よ|ね)?|ちがう|間違(?:って(?:い)?(?:る|ます)|いです)(?:よ)?|長すぎ(?:る|ます)?"),
    Cue("ja", "complaint", "start", 0.8,
        r"(?:いや、?)?(?:そう|そこ)じゃなく(?:て)?\w*|そういう意味では?じゃ?な(?:い|く)\w*"),
    Cue("ja", "complaint", "whole", 0.55, r"もっと短く(?:して)?(?:ください)?|短くして(?:ください)?", answers=True),
    Cue("ja", "praise", "clause", 0.65,
        r"(?:どうも)?ありがとう(?:ございます|ございました)?|完璧(?:です)?|助かりました|素晴らしい(?:です)?"),
    Cue("ja", "reask", "whole", 0.65, r"もう一度(?:お願いします|答えて(?:ください)?)?|やり直して(?:ください)?"),
    Cue("zh", "complaint", "clause", 0.7,
        r"不对|不對|错了|錯了|不是这个|不是這個|(?:回答)?太长(?:了)?|太長了?|你理解错了|答非所问"),
    Cue("zh", "complaint", "start", 0.7, r"(?:不是?[,，])?我(?:的意思是|不是问|问的是|問的是)\w*"),
    Cue("zh", "complaint", "whole", 0.55, r"(?:请)?(?:再)?(?:短一点|简短一点|简洁一点|简单点|短一點)", answers=True),
    Cue("zh", "praise", "clause", 0.65,
        r"(?:非常|太)?(?:谢谢|感谢|謝謝|感謝)(?:你|您|啦|了)?|完美|太好了|太棒了|很好|非常好"),
    Cue("zh", "reask", "whole", 0.65, r"(?:请)?(?:再来一次|重新回答|再试一次|重试|再說一次|再说一次)"),
)
# fmt: on

_AFTER: Mapping[Where, str] = {
    "whole": r"(?=[\s,.!;:~…。、)^-]*$)",
    "clause": r"(?=[\s)]*(?:[,.!;:~…。、–—]|-\s|$))",
    "start": r"(?!\w)(?!\s*\?)",
    "statement": r"(?!\w)(?![^.!]*\?)",
    "anywhere": r"(?!\s*\?)",
}


@cache
def patterns(*, anywhere: bool) -> tuple[tuple[Cue, re.Pattern[str]], ...]:
    """The cues that stand anywhere, or all others, compiled when first needed (0.1 s)."""
    return tuple((cue, _compiled(cue)) for cue in CUES if (cue.where == "anywhere") is anywhere)


def _compiled(cue: Cue) -> re.Pattern[str]:
    # Korean is spaced as people please.
    pattern = cue.pattern.replace(" ", " ?") if cue.language == "ko" else cue.pattern.replace("'", "'?")
    return re.compile(rf"(?<!\w)(?:{pattern}){_AFTER[cue.where]}")
