"""The table of what the scrubber finds: data, one entry a pattern, each with a test of its own.

Not in it, and so not found: names, postal addresses, dates of birth, user names, employers; passport, driving licence
and bank account numbers (but IBANs are); MAC addresses, UUIDs and wallet addresses; keys without a prefix of their own
that no word such as "token" announces; passwords of letters alone; phone numbers without an area code.

To add one: a line here (its regex linear: bounded repeats, nothing nested) and a case in tests/feedback/test_scrub.py.
All are compiled with re.ASCII, so that 010-1234-5678입니다 ends where the number ends.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from strop.feedback import scrub_checks as checks
from strop.feedback import scrub_phones as phones
from strop.feedback.scrub_checks import Check, stands_free, stdnum


def _holds(regex: str) -> Callable[[str], bool]:
    search = re.compile(regex).search
    return lambda text: search(text) is not None


# Cheap questions that spare whole families of patterns; each is asked once a text. A date alone is no number.
_DATE = r"(?:(?<=1)9|(?<=2)0)\d\d([-./])\d\d\1\d\d(?![-./]?[0-9])"
_NUMBER = rf"[0-9](?<![0-9][0-9])(?<![0-9][-./][0-9])(?!{_DATE})(?:[ ()./·-]{{0,3}}[0-9])"
TRIGGERS: dict[str, Callable[[str], bool]] = {
    "": lambda text: True,
    "long word": lambda text: max(map(len, text.split()), default=0) >= 18,
    "assignment": _holds(r"[=:]>?\s{0,4}\\?(?:[^\s\"'`<>]{6}|[\"'`][^\"'`\n]{6})"),
    "colons": lambda text: "::" in text or text.count(":") >= 7,
    "number": _holds(rf"{_NUMBER}{{6}}"),
    "long number": _holds(rf"{_NUMBER}{{8}}"),
    "code": _holds(r"[0-9]{2}(?:(?<=[A-Z][0-9]{2})|(?<=[A-Z][ -][0-9]{2})|(?<=[a-z]{2}[0-9]{2}))[ -]?[0-9A-Za-z]{2}"),
    "letter within": _holds(r"[0-9]{6}[A-FU-Ya-fu-y][0-9]{3}"),
    "dots": _holds(r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]"),
}
NEED_NO_DIGIT = ("", "long word", "assignment", "colons")


def exactly(value: str) -> str:
    """Secrets are equal when they are the same text."""
    return value


def digits_and_letters(value: str) -> str:
    """Numbers are equal whatever their separators: 4111-1111 is 4111 1111."""
    return re.sub(r"[\W_]", "", value).casefold()


@dataclass(frozen=True, slots=True)
class Pattern:
    """One thing to find. `kind` is the type in the placeholder; what goes is the group `value`, or the whole match.

    `trigger` is the name of a question in TRIGGERS that the text must pass, `hints` are literals of which it must hold
    one (for `any_case`: in lower case); else the regex is not run. `check` has the last word, and may move the span.
    `same` gives equal texts for what is one value; `spread` looks for the value elsewhere in the row, too, where its
    surroundings do not give it away.
    """

    name: str
    kind: str
    regex: str
    covers: str
    hints: tuple[str, ...] = ()
    trigger: str = ""
    check: Check | None = None
    any_case: bool = False
    same: Callable[[str], str] = exactly
    spread: bool = False


def _key(name: str, hints: str, regex: str, covers: str) -> Pattern:
    """A provider's key: a prefix of its own (`hints`, separated by spaces) and enough different characters."""
    alone, literals = rf"(?<!\w)(?:{regex})", tuple(hints.split())
    return Pattern(name, "API_KEY", alone, covers, hints=literals, trigger="long word", check=checks.varied)


def _part(name: str, hint: str, regex: str, covers: str) -> Pattern:
    """A key inside something that stays: the group `value` of `regex`."""
    return Pattern(name, "API_KEY", regex, covers, hints=(hint,), trigger="long word")


def _said(name: str, kind: str, hints: str, regex: str, check: Check, covers: str, *, trigger: str = "") -> Pattern:
    """A secret that the words in front give away, and that is then looked for in the whole row."""
    literals = tuple(hints.split())
    return Pattern(name, kind, regex, covers, hints=literals, trigger=trigger, check=check, any_case=True, spread=True)


def _phone(name: str, regex: str, check: Check, covers: str, *, spread: bool = False) -> Pattern:
    """Where a phone number may begin; the check finds where it ends."""
    return Pattern(
        name,
        "PHONE",
        regex,
        covers,
        trigger="number",
        check=check,
        any_case=True,
        same=digits_and_letters,
        spread=spread,
    )


def _number(name: str, kind: str, regex: str, check: Check, covers: str, *, trigger: str = "long number") -> Pattern:
    """A number with a shape or check digits of its own, standing alone."""
    alone = rf"(?<![\w.])(?<!\w[-/])(?:{regex})(?!\w|[-.@/*]\w)"
    return Pattern(name, kind, alone, covers, trigger=trigger, check=check, any_case=True, same=digits_and_letters)


def _named(name: str, kind: str, hints: str, label: str, body: str, check: Check, covers: str) -> Pattern:
    """A number whose shape says too little, so that its name (`label`, with a hint in it) must stand in front of it."""
    words = r"(?:number|numéro|nummer|número|no|nr|num|numarası|is|ist|est|es|id|was|code)(?![A-Za-z])"
    regex = rf"(?<![A-Za-z0-9])(?:{label})(?:\W{{0,3}}{words}){{0,2}}\W{{0,5}}(?P<value>{body})(?!\w|[-.]\d)"
    bare = Pattern(name, kind, regex, covers, tuple(hints.split()), trigger="long number", check=check, any_case=True)
    return replace(bare, same=digits_and_letters, spread=True)


_ASSIGN = r"(?:\\?[\"'\]]){0,2}[ \t]{0,4}(?:=>|:=|=|:)\s{0,4}\\?[\"'`]?"
_VALUE = r"(?P<value>(?<=[\"'`])[^\"'`<>\n][^\"'`\n]{5,255}|[^\s\"'`<>]{6,256})"
_LOGIN_WORDS = (
    r"(?:pass(?:word|wd|phrase|code|wort)|(?<![a-z])(?:pwd|pw)|kennwort|mot de passe|contraseña|비밀번호|비번|암호"
    r"|패스워드|密码|パスワード)"
)
_LOGIN_HINTS = "pass pw kennwort contraseña 비밀번호 비번 암호 패스워드 密码 パスワード"
_KEY_WORDS = (
    r"(?:(?:api|access|auth|account|secret|private|encryption|signing|master|shared|storage|subscription|admin)"
    r"[ _-]?key|secret(?:[ _-]?(?:access[ _-]?)?(?:key|token))?|token|credentials?|session[ _-]?id|sessid"
    r"|api[ _-]?secret)"
)
# One script a label: 메일은 in front of hong@naver.com, or 으로 behind it, is no part of the address.
_LABEL = r"(?:[A-Za-z0-9_\u00c0-\u10ff\u1200-\u1fff-]{1,63}|[\u2e80-\ud7ff-]{1,63})"
_TOP_LEVEL = (
    r"(?:xn--[A-Za-z0-9-]{2,40}|[A-Za-z]{2,24}(?![A-Za-z0-9_])|中国|中國|香港|台灣|台湾|新加坡|한국|рф|укр|бел|срб|бг|ευ|ελ"
    r"|भारत|ไทย|москва|онлайн)"
)

# fmt: off
SECRETS = (
    Pattern("private-key", "PRIVATE_KEY", r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----",
            "PEM, OpenSSH and PGP private keys, also with \\n escaped (JSON) or cut off before the END line",
            hints=("PRIVATE KEY",), check=checks.private_key),
    Pattern("jwt", "JWT", r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*){0,3}",
            "JSON web tokens, signed and encrypted, also without the signature", hints=("eyJ",), trigger="long word"),
    _key("anthropic", "sk-ant-", r"sk-ant-[\w-]{20,}", "Anthropic"),
    _key("openai", "sk-", r"sk-(?!ant-)(?:(?:proj|svcacct|admin|None|or-v1|lf)-[\w-]{20,}|[A-Za-z0-9]{32,})",
         "OpenAI, and those with keys like it: OpenRouter, DeepSeek, Langfuse"),
    _key("aws", "AKIA ASIA ABIA ACCA", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?!\w)",
         "AWS access key ids (for the secret key see token-assigned)"),
    _key("google-api", "AIza", r"AIza[\w-]{35}", "Google: Cloud, Maps, Gemini, Firebase"),
    _key("google-oauth", "GOCSPX- ya29. 1//0", r"GOCSPX-[\w-]{28}|ya29\.[\w-]{20,}|1//0[\w-]{40,}",
         "Google OAuth: client secrets, access and refresh tokens"),
    _key("azure-client", "Q~", r"[\w~.-]{3}\dQ~[\w~.-]{31,34}", "Azure (Entra) client secrets"),
    _part("azure-storage", "AccessKey=", r"AccessKey=(?P<value>[A-Za-z0-9+/]{40,100}={0,2})",
          "Azure connection strings: service bus, event hubs, IoT"),
    _part("azure-account", "AccountKey=", r"AccountKey=(?P<value>[A-Za-z0-9+/]{40,100}={0,2})",
          "Azure connection strings: storage, Cosmos DB"),
    _part("azure-sas", "sig=", r"[?&;]sig=(?P<value>[A-Za-z0-9%+/]{40,150}={0,2})",
          "the signature of an Azure shared access URL"),
    _key("huggingface", "hf_ api_org_", r"(?:hf|api_org)_[A-Za-z0-9]{30,}", "Hugging Face"),
    _key("github", "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_", r"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{60,}",
         "GitHub: personal (classic and fine-grained), OAuth, app, refresh"),
    _key("gitlab", "glpat- glptt- gldt- glrt- glcbt- glft- glsoat- glagent- glimt- gloas-",
         r"gl(?:pat|ptt|dt|rt|cbt|ft|soat|agent|imt|oas)-[\w-]{20,}(?:\.[0-9a-z]{2}\.[0-9a-z]{9})?",
         "GitLab: personal, trigger, deploy, runner, job, feed, agent, OAuth"),
    _key("slack", "xox xapp-", r"xox[abceoprs](?:\.xox[a-z])?-[\w-]{20,}|xapp-[\w-]{30,}",
         "Slack: bot, user, app, refresh and session tokens"),
    _part("slack-webhook", "hooks.slack.com",
          r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<value>[\w/+-]{30,200})",
          "the secret part of a Slack webhook"),
    _part("discord-webhook", "/webhooks/",
          r"discord(?:app)?\.com/api/(?:v\d{1,2}/)?webhooks/\d{15,20}/(?P<value>[\w-]{50,100})",
          "the secret part of a Discord webhook"),
    _key("discord", ".", r"[MNO][A-Za-z\d_-]{22,27}\.[\w-]{6}\.[\w-]{27,40}(?![\w-])", "Discord bot tokens"),
    _key("telegram", ":A", r"\d{6,12}:A[\w-]{34}(?![\w-])", "Telegram bot tokens"),
    _key("stripe", "sk_ rk_ whsec_", r"[sr]k_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/]{24,}",
         "Stripe: secret and restricted keys, webhook secrets (also Clerk, Svix)"),
    _key("twilio", "SK AC", r"(?:SK|AC)[0-9a-f]{32}(?!\w)", "Twilio: API keys and account ids"),
    _key("sendgrid", "SG.", r"SG\.[\w-]{16,32}\.[\w-]{16,64}", "SendGrid"),
    _key("mailgun", "key-", r"key-[0-9a-f]{32}(?!\w)", "Mailgun"),
    _key("mailchimp", "-us", r"[0-9a-f]{32}-us\d{1,2}(?!\w)", "Mailchimp"),
    _key("npm", "npm_", r"npm_[A-Za-z0-9]{36,}", "npm"),
    _key("pypi", "pypi-", r"pypi-[\w-]{50,}", "PyPI"),
    _key("registries", "rubygems_ cio dckr_",
         r"rubygems_[0-9a-f]{48}|cio[A-Za-z0-9]{32}(?!\w)|dckr_(?:pat|oat)_[\w-]{20,}",
         "RubyGems, crates.io, Docker Hub"),
    _key("models", "gsk_ xai- r8_ pplx- nvapi- fw_ tgp_v1_ jina_ lsv2_",
         r"gsk_[A-Za-z0-9]{40,}|xai-[A-Za-z0-9]{60,}|r8_[A-Za-z0-9]{37,}|pplx-[A-Za-z0-9]{40,}|nvapi-[\w-]{60,}"
         r"|fw_[A-Za-z0-9]{22,}|tgp_v1_[\w-]{40,}|jina_[A-Za-z0-9]{50,}|lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}",
         "Groq, xAI, Replicate, Perplexity, NVIDIA, Fireworks, Together, Jina, LangSmith"),
    _key("clouds", "_v1_ dapi HRKU- sbp_ pscale_",
         r"do[oprt]_v1_[0-9a-f]{64}|dapi[0-9a-f]{32}(?:-\d)?(?!\w)|HRKU-[\w-]{36,}|sbp_[0-9a-f]{40}"
         r"|pscale_(?:tkn|pw|oauth)_[\w.-]{32,}",
         "DigitalOcean, Databricks, Heroku, Supabase, PlanetScale"),
    _key("shops", "shpat_ shpca_ shppa_ shpss_ sq0 EAAA",
         r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|sq0[a-z]{3}-[\w-]{22,}|EAAA[\w-]{56,}", "Shopify, Square"),
    _key("work-tools", "PMAK- figd_ lin_api_ ntn_ secret_ ATATT3 ATCTT3",
         r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}|figd_[\w-]{38,}|lin_api_[A-Za-z0-9]{40}|ntn_[A-Za-z0-9]{40,}"
         r"|secret_[A-Za-z0-9]{43}(?!\w)|AT[AC]TT3[\w=-]{60,}", "Postman, Figma, Linear, Notion, Atlassian"),
    _key("operations", "glsa_ glc_ NRAK- sntrys_ sntryu_ hvs. hvb. AGE-SECRET dp.pt. dp.st. dp.ct. phx_",
         r"glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}|glc_[A-Za-z0-9+/=]{32,}|NRAK-[A-Z0-9]{27}|sntry[su]_[\w+/=]{40,}"
         r"|hv[sb]\.[\w-]{24,}|AGE-SECRET-KEY-1[A-Z0-9]{58}|dp\.(?:pt|st|ct)\.[\w.-]{40,}|phx_[A-Za-z0-9]{40,}",
         "Grafana, New Relic, Sentry, Vault, age, Doppler, PostHog"),
    _said("url-password", "PASSWORD", "://", r"://[^\s/:@\"'<>]{0,128}:(?P<value>[^\s/\"'<>]{1,256})@(?=[\w\[.-])",
          checks.url_password, "the password in a URL; scheme, user and host stay"),
    _said("url-token", "SECRET", "://", r"://(?P<value>[^\s/:@\"'<>]{12,512})@(?=[\w\[.-])", checks.token,
          "a token in the place of the user in a URL"),
    _said("curl-user", "PASSWORD", "-u --user",
          r"(?<=\s)(?:-u|--user)[ =]?[\"']?[^\s:\"'/()\[\]{}]{1,64}:(?P<value>[^\s\"'<>]{3,128})",
          checks.user_password, "curl -u user:password"),
    _said("authorization", "SECRET", "authorization",
          r"authorization(?:\\?[\"'\]]){0,2}\s{0,3}[:=,]\s{0,3}\\?[\"'`]?(?:(?:bearer|basic|token|apikey|digest|key)\s{1,3})?"
          r"(?P<value>[^\s\"'`,<>{}$]{8,4096})", checks.token, "the value of an Authorization header"),
    _said("bearer", "SECRET", "bearer", r"(?<!\w)bearer\s{1,3}(?P<value>[\w.~+/=-]{16,4096})", checks.token,
          "Bearer and a token"),
    _said("token-assigned", "SECRET", "key secret token credential session sessid", rf"{_KEY_WORDS}{_ASSIGN}{_VALUE}",
          checks.token, "api_key=..., \"client_secret\": \"...\", aws_secret_access_key = ... and the like",
          trigger="assignment"),
    _said("token-flag", "SECRET", "--", rf"(?<![\w-])--(?:[a-z]{{1,12}}-){{0,2}}{_KEY_WORDS} [\"']?{_VALUE}",
          checks.token, "--token ..., --api-key ..."),
    _said("password-assigned", "PASSWORD", _LOGIN_HINTS, rf"{_LOGIN_WORDS}{_ASSIGN}{_VALUE}", checks.password,
          "password=..., \"pwd\": \"...\", 비밀번호: ...; letters with digits or signs, or digits alone",
          trigger="assignment"),
    _said("password-flag", "PASSWORD", "--pass", rf"(?<![\w-])--pass(?:word|wd|phrase)? [\"']?{_VALUE}",
            checks.password,
          "--password ..."),
    _said("password-said", "PASSWORD", _LOGIN_HINTS,
          rf"{_LOGIN_WORDS}(?: (?:is|was|ist|est|es)(?: now| still)?:?\s{{1,2}}|(?:는|은|가|이)\s{{1,2}}|は)"
          rf"[\"'`]?{_VALUE}",
          checks.password_said, "my password is ..., 비밀번호는 ..."),
)

CONTACTS = (
    Pattern("email", "EMAIL", rf"(?:@|%40)(?:{_LABEL}\.){{1,8}}{_TOP_LEVEL}",
            "e-mail addresses, also international ones and those in URLs (%40)",
            hints=("@", "%40"), check=checks.email, any_case=True, same=str.casefold),
    Pattern("email-spelled", "EMAIL",
            r"(?<![\w.+-])[\w.+-]{1,64} ?[\[({] ?(?:at|@) ?[\])}] ?[\w-]{1,63}"
            r"(?:(?: ?[\[({] ?(?:dot|\.) ?[\])}] ?|\.)[\w-]{2,63}){1,4}(?!\w)",
            "name [at] example [dot] com, brackets of any kind",
            hints=("at]", "at)", "at}", "at ]", "at )", "@]", "@)"), any_case=True, same=str.casefold),
    Pattern("iban", "IBAN", r"(?<![0-9A-Za-z])[A-Z]{2}[ -]?\d{2}(?:[ .-]?[0-9A-Z]){11,30}",
            "IBANs of all countries, with or without spaces: check digits and national structure",
            trigger="code", check=checks.iban, any_case=True, same=digits_and_letters),
    _number("card", "CARD", r"\d{4}[ -]\d{4}[ -]\d{4}[ -]\d{4}(?:[ -]?\d{3})?|\d{4}[ -]\d{6}[ -]\d{4,5}|\d{14,19}",
            checks.card, "payment cards: Luhn, and a known issuer unless written in four groups"),
    Pattern("ipv4", "IP", r"(?<![\w.])(?<!\d-)\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\w|-[A-Za-z])",
            "IPv4 but loopback, 0.0.0.0 and netmasks; not where the words in front say version or section",
            trigger="dots", check=checks.ipv4),
    Pattern("ipv6", "IP",
            r"(?<![\w:.])(?:[0-9A-F:]{2,30}:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-F:]{3,39})(?:%\w{1,15})?(?![\w:]|\.\d)",
            "IPv6 but ::1 and ::, also with an IPv4 tail or a zone", trigger="colons", check=checks.ipv6, any_case=True,
            same=str.casefold),
)

PHONES = (
    _phone("phone-international",
           r"(?<![\w+])(?:\(?\+\)?(?: (?=[1-9]\d{0,2}[ ()./-]))?\(?[1-9]|(?<!\d[-./, ])00[1-9])", phones.international,
           "+ or 00 and a country code: every country"),
    _phone("phone-trunk", r"(?<![\w+])(?<!\w[-./,:])(?<!\d[)])\(?0[1-9](?=[0-9 ()./·-]{7})", phones.trunk,
           "national numbers of the regions, with their leading 0"),
    _phone("phone-shaped",
           r"(?<![\w+.])(?<!\w[-/])(?:(?:1[-. ]?)?(?:\([2-9]\d\d\)|[2-9]\d\d)[-. /]{0,3}\d{3}[-. ]{1,3}\d{4}"
           r"|[6-9]\d{4}[- ]\d{5}|1[3-9]\d[- ]\d{4}[- ]\d{4}|(?:\(\d\d\) ?|\d\d )9?\d{4}-\d{4}"
           r"|[6789]\d\d([- .])\d\d\1\d\d\1\d\d"
           r"|3\d\d[-. /]\d{3}[-. ]?\d{4})(?!\w|[-./@]\w)", phones.shaped,
           "(415) 555-2671 and other shapes of US, CA, IN, CN, BR, ES and IT numbers"),
)

# Numbers that say too little by themselves, so that their name must stand in front.
NAMED = (
    _named("kr-rrn-named", "KR_RRN", "주민 외국인 resident rrn",
           r"주민(?:등록)?번호|외국인등록번호|resident registration|rrn", r"\d{6} ?-? ?[1-8]\d{6}", checks.resident,
           "without the hyphen, named: a real birth date"),
    _named("us-ssn-named", "US_SSN", "ssn social", "ssn|social security", r"\d{9}", stdnum("us.ssn"),
           "the same in one, named"),
    _named("uk-nhs", "UK_NHS", "nhs", "nhs", r"\d{3}[ -]?\d{3}[ -]?\d{4}", stdnum("gb.nhs"),
           "UK health service, named"),
    _named("de-idnr", "DE_TAX_ID", "steuer idnr tax",
           r"steuer-?id(?:entifikationsnummer|nr)?|steuerliche identifikationsnummer|idnr|tax id",
           r"\d{2} ?\d{3} ?\d{3} ?\d{3}", stdnum("de.idnr"), "German tax ids, named"),
    _named("br-cpf-named", "BR_CPF", "cpf", "cpf", r"\d{11}", stdnum("br.cpf"), "the same in one, named"),
    _named("in-aadhaar-named", "IN_AADHAAR", "aadha uidai", "aadhaar|aadhar|uidai", r"\d{4}[ -]?\d{4}[ -]?\d{4}",
           stdnum("in_.aadhaar"), "Indian Aadhaar, named"),
    _named("ca-sin", "CA_SIN", "sin insurance", r"sin|social insurance", r"\d{3}[ -]?\d{3}[ -]?\d{3}",
           stdnum("ca.sin"), "Canadian SIN, named"),
    _named("nl-bsn", "NL_BSN", "bsn burger sofi", "bsn|burgerservicenummer|sofinummer",
           r"\d{9}|\d{4}[ .]\d\d[ .]\d{3}", stdnum("nl.bsn"), "Dutch BSN, named"),
    _named("pl-pesel", "PL_PESEL", "pesel", "pesel", r"\d{11}", stdnum("pl.pesel"), "Polish PESEL, named"),
    _named("dk-cpr", "DK_CPR", "cpr", "cpr", r"\d{6}-?\d{4}", stdnum("dk.cpr"), "Danish CPR, named"),
    _named("tr-tckn", "TR_TCKN", "tckn kimlik", r"tckn|t\.?c\.? kimlik|kimlik", r"\d{11}", stdnum("tr.tckimlik"),
           "Turkish identity, named"),
    _named("jp-my-number", "JP_MY_NUMBER", "number マイナンバー 個人番号", "my number|マイナンバー|個人番号",
           r"\d{4}[ -]?\d{4}[ -]?\d{4}", stdnum("jp.in_"), "Japanese My Number, named"),
    _named("au-tfn", "AU_TFN", "tfn tax", "tfn|tax file", r"\d{3} ?\d{3} ?\d{2,3}", stdnum("au.tfn"),
           "Australian tax file numbers, named"),
    _named("za-id", "ZA_ID", "id", r"(?:south african |sa )?id(?:entity)?", r"\d{6} ?\d{4} ?\d{3}", stdnum("za.idnr"),
           "South African identity, named"),
    _phone("phone-labelled",
           r"(?:(?<![A-Za-z])(?:tele(?:phone|fon|fono|foon)?|téléphone|teléfono|tel|phone|mobile?|mob|cell(?:phone)?|fax"
           r"|whatsapp|sms|wa\.me|handy|móvil|celular|portable|call|(?:call|text) (?:me|us|him|her|them)"
           r"|reach (?:me|us|him|her|them) (?:at|on)|my (?:new |work |home |office |private )?number)(?![A-Za-z])"
           r"|전화|휴대폰|핸드폰|연락처|電話|携帯|手机|电话|联系)"
           r"[^0-9\n+(]{0,24}(?P<value>\(?[0-9](?=[0-9 ()./·-]{6}))", phones.labelled,
           "any grouping, behind a word such as phone, tel, call me at, 전화", spread=True),
)

# Numbers that a state gives to a person.
IDENTITIES = (
    _number("kr-rrn", "KR_RRN", r"\d{6} ?- ?[1-8]\d{6}", checks.resident,
            "Korean resident and foreigner numbers with the hyphen: a real birth date, no check digit"),
    _number("kr-rrn-bare", "KR_RRN", r"\d{13}", checks.resident_bare, "without the hyphen: birth date and check digit"),
    _number("us-ssn", "US_SSN", r"\d{3}(?P<by>[- ])\d{2}(?P=by)\d{4}", stdnum("us.ssn"), "US social security, 3-2-4"),
    _number("us-itin", "US_ITIN", r"9\d\d-[5-9]\d-\d{4}", stdnum("us.itin"), "US taxpayers without social security"),
    _number("uk-nino", "UK_NINO",
            r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]",
            checks.shape_is_enough,
            "UK national insurance: no check digit, but a shape of its own", trigger="code"),
    _number("fr-nir", "FR_NIR", r"[12] ?\d\d ?\d\d ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d", stdnum("fr.nir"),
            "French social security"),
    _number("es-dni", "ES_DNI", r"(?:\d{8}|\d\d\.\d{3}\.\d{3}) ?-?[A-Z]|[XYZ]-?\d{7}-?[A-Z]",
            stdnum("es.dni", "es.nie"),
            "Spanish DNI and NIE", trigger="number"),
    _number("it-cf", "IT_CF", r"[A-Z]{3} ?[A-Z]{3} ?\d\d[A-Z]\d\d ?[A-Z]\d{3}[A-Z]", stdnum("it.codicefiscale"),
            "Italian codice fiscale", trigger="code"),
    _number("br-cpf", "BR_CPF", r"\d{3}\.\d{3}\.\d{3}-\d\d", stdnum("br.cpf"), "Brazilian CPF with its signs"),
    _number("cn-id", "CN_ID", r"\d{17}[\dX]", stdnum("cn.ric"), "Chinese resident identity"),
    _number("in-aadhaar", "IN_AADHAAR", r"[2-9]\d{3} \d{4} \d{4}(?! \d)", stands_free(stdnum("in_.aadhaar")),
            "Indian Aadhaar, in three groups"),
    _number("in-pan", "IN_PAN", r"(?-i:[A-Z]{3}P[A-Z]\d{4}[A-Z])", stdnum("in_.pan"), "Indian PAN of a person",
            trigger="code"),
    _number("se-pnr", "SE_PNR", r"(?:\d\d)?\d{6}[-+]\d{4}", stdnum("se.personnummer"), "Swedish personal numbers"),
    _number("fi-hetu", "FI_HETU", r"\d{6}[-+]\d{3}[0-9A-Z]", stdnum("fi.hetu"),
            "Finnish codes of those born before 2000"),
    _number("fi-hetu-letter", "FI_HETU", r"\d{6}[A-FU-Y]\d{3}[0-9A-Z]", stdnum("fi.hetu"), "Finnish codes, born since",
            trigger="letter within"),
    _number("no-fnr", "NO_FNR", r"\d{6} ?\d{5}", stdnum("no.fodselsnummer"), "Norwegian birth numbers"),
    _number("ch-ahv", "CH_AHV", r"756\.?\d{4}\.?\d{4}\.?\d\d", stdnum("ch.ssn"), "Swiss social security"),
    _number("be-nn", "BE_NN", r"\d\d\.\d\d\.\d\d-\d{3}\.\d\d", stdnum("be.nn"), "Belgian national numbers"),
    _number("cz-rc", "CZ_RC", r"\d{6}/\d{3,4}", stdnum("cz.rc"), "Czech and Slovak birth numbers"),
    _number("mx-curp", "MX_CURP", r"[A-Z]{4}\d{6}[HM][A-Z]{5}[0-9A-Z]\d", stdnum("mx.curp"), "Mexican CURP",
            trigger="code"),
)
# fmt: on

# Where two find the same span, the first names it: check digits say more than the plans of phone numbers do.
PATTERNS: tuple[Pattern, ...] = (*SECRETS, *CONTACTS, *NAMED, *IDENTITIES, *PHONES)
FAMILIES = {trigger: tuple(each for each in PATTERNS if each.trigger == trigger) for trigger in TRIGGERS}
