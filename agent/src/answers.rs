//! Reads a person's reply to an open question: by these rules and never by a model, because a yes moves goods and money.
//!
//! A reply is a plain yes only when every word of it is a yes-word or a filler. Anything beyond that is a change of the request, or
//! something else that leaves the question open. In doubt it is never a yes.

pub mod others;

use crate::language::{LANGUAGES, Language, fold};

/// What a reply says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Do it.
    Yes,
    /// Do not do it.
    No,
    /// Neither: ask again.
    Maybe,
    /// The same, but otherwise: the text of the change ("yes, but make it 3 kg" is "make it 3 kg"). The request is superseded.
    Change(String),
    /// One, or all, of several questions or choices.
    Pick(Pick),
    /// Something else; the question stays open.
    Other,
}

/// Which of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// The one at this place, from 1.
    Nth(usize),
    /// The last one.
    Last,
    /// Both, which only makes sense of two.
    Both,
    /// All of them.
    All,
}

impl Pick {
    /// The places meant, from 0, of `count`; `None` when the pick does not fit that many.
    #[must_use]
    pub fn of(self, count: usize) -> Option<Vec<usize>> {
        match self {
            Pick::Nth(nth) => (1..=count).contains(&nth).then(|| vec![nth - 1]),
            Pick::Last => count.checked_sub(1).map(|last| vec![last]),
            Pick::Both => (count == 2).then(|| vec![0, 1]),
            Pick::All => (count > 0).then(|| (0..count).collect()),
        }
    }
}

/// Longer texts are no answers to a yes-or-no question.
const CHARACTERS_MAX: usize = 160;
/// The same in words.
const WORDS_MAX: usize = 24;
/// Words of the longest phrase in the tables.
const PHRASE_WORDS_MAX: usize = 5;

/// Reads a reply, in the session's language first: a clear yes or no of any language we know counts, unless it means something else in
/// the session's own.
#[must_use]
pub fn read(text: &str, language: Language) -> Reading {
    if text.chars().count() > CHARACTERS_MAX {
        return Reading::Other;
    }
    let words = split(text);
    if words.is_empty() || words.len() > WORDS_MAX {
        return Reading::Other;
    }
    let parts = parts(&words, language);
    if parts.iter().all(|p| p.sense != Sense::Unknown) {
        let asked_back = text.contains(['?', '？']);
        return plain(&parts, asked_back);
    }
    if torn(&words, &parts) {
        return Reading::Maybe;
    }
    change(text, &words, &parts).map_or(Reading::Other, Reading::Change)
}

/// "Yes and no", "go ahead, but cancel".
fn torn(words: &[Word], parts: &[Part]) -> bool {
    let has = |sense: Sense| parts.iter().any(|p| p.sense == sense);
    let bare = parts
        .iter()
        .all(|p| p.sense != Sense::Unknown || among(CONNECTIVES, &words[p.first].folded));
    bare && has(Sense::Yes) && has(Sense::No)
}

/// A word of the reply.
struct Word {
    folded: String,
    start: usize,
}

/// What a word or phrase stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sense {
    Yes,
    No,
    Maybe,
    Pick(Pick),
    Filler,
    Unknown,
}

/// A phrase found in the reply.
struct Part {
    sense: Sense,
    /// The first word it covers.
    first: usize,
}

/// A sense for a text made of nothing but known phrases.
fn plain(parts: &[Part], asked_back: bool) -> Reading {
    let has = |wanted: Sense| parts.iter().any(|p| p.sense == wanted);
    let mut picks = parts.iter().filter_map(|p| match p.sense {
        Sense::Pick(pick) => Some(pick),
        _ => None,
    });
    let pick = picks.next();
    let several_picks = picks.any(|other| Some(other) != pick);
    let (yes, no) = (has(Sense::Yes), has(Sense::No));
    if has(Sense::Maybe) || several_picks || (yes && no) {
        return Reading::Maybe;
    }
    match (pick, yes, no) {
        (None, false, false) => Reading::Other,
        _ if asked_back => Reading::Maybe,
        // "No to the first" must not approve the first.
        (Some(_), _, true) => Reading::Maybe,
        (Some(pick), _, false) => Reading::Pick(pick),
        (None, true, _) => Reading::Yes,
        (None, false, true) => Reading::No,
    }
}

fn split(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut open = false;
    for (start, c) in text.char_indices() {
        let is_letter = c.is_alphanumeric() || matches!(c, '\'' | '’' | '\u{300}'..='\u{36f}');
        if is_letter {
            if open && let Some(word) = words.last_mut() {
                word.folded.push(c);
            } else {
                words.push(Word {
                    folded: c.into(),
                    start,
                });
            }
        } else if let Some(word) = sign(c) {
            words.push(Word {
                folded: word.into(),
                start,
            });
        }
        open = is_letter;
    }
    for word in &mut words {
        word.folded = fold(&word.folded);
    }
    words.retain(|w| !w.folded.is_empty());
    words
}

/// Signs that answer. Skin tones and the like around them fall away as punctuation does.
const fn sign(c: char) -> Option<&'static str> {
    match c {
        '👍' | '✅' | '✔' | '👌' | '☑' => Some("👍"),
        '👎' | '❌' | '✖' | '🚫' | '🛑' => Some("👎"),
        '🤔' | '🤷' | '😕' => Some("🤔"),
        _ => None,
    }
}

fn parts(words: &[Word], language: Language) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let longest = PHRASE_WORDS_MAX.min(words.len() - at);
        let found = (1..=longest).rev().find_map(|length| {
            let phrase: Vec<&str> = words[at..at + length]
                .iter()
                .map(|w| w.folded.as_str())
                .collect();
            sense_of(&phrase.join(" "), language).map(|sense| (sense, length))
        });
        let (sense, length) = found.unwrap_or((Sense::Unknown, 1));
        parts.push(Part { sense, first: at });
        at += length;
    }
    parts
}

/// The sense of a phrase: the session's own language decides where it knows it, else all the others together, and where those
/// disagree it is in doubt.
fn sense_of(phrase: &str, language: Language) -> Option<Sense> {
    if let Some(sense) = listed(phrase, language, true) {
        return Some(sense);
    }
    let mut senses = LANGUAGES
        .into_iter()
        .filter(|l| *l != language)
        .filter_map(|l| listed(phrase, l, false));
    if let Some(first) = senses.next() {
        return Some(if senses.all(|s| s == first) {
            first
        } else {
            Sense::Maybe
        });
    }
    // "Yesss", "nooo", "siii".
    let short = squeezed(phrase);
    if short != phrase {
        return sense_of(&short, language);
    }
    None
}

/// Letters said three times or more, or doubled at the end, said once.
fn squeezed(phrase: &str) -> String {
    let letters: Vec<char> = phrase.chars().collect();
    let mut out = String::with_capacity(phrase.len());
    let mut at = 0;
    while at < letters.len() {
        let run = letters[at..]
            .iter()
            .take_while(|c| **c == letters[at])
            .count();
        let kept = if run > 2 || at + run == letters.len() {
            1
        } else {
            run
        };
        out.extend(std::iter::repeat_n(
            letters[at],
            if letters[at].is_ascii_digit() {
                run
            } else {
                kept
            },
        ));
        at += run;
    }
    out
}

/// A phrase in one language's lists. Those that begin with `=` count only in a session of that language.
fn listed(phrase: &str, language: Language, own: bool) -> Option<Sense> {
    let in_list = |list: &str| {
        list.split(',')
            .map(str::trim)
            .any(|entry| match entry.strip_prefix('=') {
                Some(entry) => own && entry == phrase,
                None => entry == phrase,
            })
    };
    let lists = lists(language);
    if in_list(lists.maybe) {
        return Some(Sense::Maybe);
    }
    if in_list(lists.yes) {
        return Some(Sense::Yes);
    }
    if in_list(lists.no) {
        return Some(Sense::No);
    }
    if let Some((_, pick)) = picks(language).iter().find(|(list, _)| in_list(list)) {
        return Some(Sense::Pick(*pick));
    }
    in_list(lists.fillers).then_some(Sense::Filler)
}

struct Lists {
    yes: &'static str,
    no: &'static str,
    maybe: &'static str,
    fillers: &'static str,
}

/// The words of each language, folded, phrases up to [`PHRASE_WORDS_MAX`] words.
const fn lists(language: Language) -> Lists {
    match language {
        Language::En => ENGLISH,
        Language::Es => SPANISH,
        Language::Fr => FRENCH,
        Language::Sw => SWAHILI,
        Language::Rw => KINYARWANDA,
        Language::Pt => PORTUGUESE,
    }
}

const ENGLISH: Lists = Lists {
    yes: "yes, yeah, yea, yep, yup, yess, yah, aye, =y, =ya, ok, okay, okey, okie, k, kk, sure, sure thing, for sure, of course, certainly, \
        absolutely, definitely, indeed, correct, right, thats right, that is right, thats correct, that is correct, agreed, i agree, \
        confirm, confirmed, i confirm, approve, approved, i approve, accept, accepted, i accept, do it, do that, just do it, please do, \
        go, go ahead, go on, go for it, proceed, please proceed, continue, carry on, fine, thats fine, that is fine, alright, all right, \
        all good, sounds good, looks good, thats good, good to go, affirmative, i am sure, im sure, i do, i am, make it so, 👍, \
        yes of course, of course yes",
    no: "no, nope, nah, nay, n, non, not, never, negative, cancel, cancel it, cancel that, cancel this, cancel the bill, cancel the order, \
        cancel the request, cancelled, canceled, stop, stop it, stop that, abort, dont, do not, dont do it, do not do it, dont do that, \
        do not do that, please dont, no thanks, no thank you, no way, not now, not today, not at all, of course not, absolutely not, \
        definitely not, certainly not, i dont, i do not, i dont want, i do not want, i dont want to, i dont want it, i dont want that, \
        decline, declined, reject, rejected, refuse, deny, denied, forget it, forget that, forget about it, never mind, nevermind, \
        leave it, drop it, skip it, i changed my mind, changed my mind, id rather not, rather not, better not, undo, wrong, \
        thats wrong, that is wrong, incorrect, thats not right, not right, not correct, not ok, not okay, not good, 👎",
    maybe: "maybe, may be, perhaps, possibly, probably, hmm, hm, hmmm, mm, mmm, um, uh, umm, uhm, er, not sure, im not sure, i am not sure, \
        not so sure, not really sure, unsure, i think so, i think, i guess, i guess so, i suppose, i suppose so, i dont know, i do not know, \
        dont know, dunno, idk, who knows, wait, wait a moment, wait a minute, wait a second, hold on, hang on, one moment, just a moment, \
        a moment, let me think, let me see, let me check, let me think about it, not yet, later, maybe later, it depends, depends, kind of, \
        sort of, could be, might be, why not, are you sure, is it, really, what, huh, i hope so, i am unsure, if you think so, whatever, \
        up to you, you decide, 🤔",
    fillers: "please, pls, plz, thanks, thank you, thank you very much, thanks a lot, thx, sir, madam, maam, boss, friend, my friend, bro, dear, \
        that one, this one, then, so, well, just, oh, ah, great, good, perfect, nice, excellent, cool, it, that, this, the, is, its, thats, hi, hello, hey, \
        i want, i want it, i want that, want, to, one, ones, again, very much, much, very, no problem, no worries, not a problem, \
        create it, bill it, bill them, sell it, issue it, create the bill, make the bill, issue the bill, please create it, \
        now, already, for it, with it, lets, us, we, i, number, option, on, you, can, may, you can, you may",
};

const SPANISH: Lists = Lists {
    yes: "si, sip, sii, simon, claro, claro que si, clarisimo, =va, dale, vale, =bueno si, ok, okey, de acuerdo, por supuesto, desde luego, \
        adelante, hazlo, hagalo, haganlo, confirmo, confirma, confirmar, confirmado, confirmalo, acepto, aceptar, aceptado, apruebo, aprobado, \
        correcto, =exacto, exactamente, asi es, eso es, como no, =listo, esta bien, estoy seguro, estoy segura, seguro que si, =seguro, \
        procede, proceda, sigue, continua, afirmativo, por supuesto que si, =sale, =venga, de una, obvio",
    no: "no, nop, nel, =n, cancela, cancelar, cancelalo, cancelala, cancelado, cancele, detente, alto, =pare, nunca, jamas, de ninguna manera, \
        mejor no, ahora no, por ahora no, hoy no, dejalo, dejalo asi, olvidalo, olvidate, ni hablar, negativo, no lo hagas, no lo haga, no gracias, \
        claro que no, por supuesto que no, desde luego que no, no quiero, ya no, ya no quiero, nada, rechazo, rechazar, rechazado, no acepto, \
        me equivoque, esta mal, incorrecto, no esta bien, no es correcto",
    maybe: "tal vez, talvez, quizas, quiza, a lo mejor, no se, no lo se, no estoy seguro, no estoy segura, creo que si, creo, supongo, supongo que si, \
        espera, espere, esperate, un momento, un segundo, puede ser, puede que si, depende, aun no, todavia no, despues, luego, mas tarde, \
        dejame pensar, dejame ver, lo pienso, ya veremos, a ver, =ya, seguro que, de verdad, en serio, =como, que, =bueno, =mm, no mucho, \
        estas seguro, estas segura, probablemente, posiblemente",
    fillers: "por favor, porfa, porfavor, gracias, muchas gracias, mil gracias, amigo, amiga, senor, senora, senorita, jefe, jefa, pues, entonces, \
        perfecto, genial, excelente, =bien, muy bien, lo, eso, =esa, =ese, el, la, los, las, =a, hola, quiero, asi, entonces si, ahora, ya mismo, \
        sin problema, no hay problema, no pasa nada, con gusto, creala, crea la factura, hazla, claro esta, numero, opcion, =de",
};

const FRENCH: Lists = Lists {
    yes: "oui, ouais, ouep, =ok, daccord, dac, bien sur, bien sur que oui, evidemment, vas y, allez y, =allez, je confirme, confirme, confirmer, \
        confirmez, cest bon, cest ca, volontiers, absolument, exact, exactement, tout a fait, certainement, entendu, je suis daccord, \
        je suis sur, je suis sure, faites le, fais le, accepte, jaccepte, =parfait, avec plaisir, oui oui, =continue, continuez",
    no: "non, annule, annuler, annulez, annule la, arrete, arretez, jamais, surtout pas, pas question, pas du tout, bien sur que non, non merci, \
        ne le fais pas, ne le faites pas, laisse tomber, laissez tomber, pas maintenant, je ne veux pas, je refuse, refuse, pas daccord, \
        je ne suis pas daccord, cest faux, faux, oublie, oubliez, =pas",
    maybe: "peut etre, je ne sais pas, je sais pas, jsp, attends, attendez, un instant, une minute, euh, =hein, pas sur, pas sure, pas encore, \
        je crois, je crois que oui, je pense, je pense que oui, plus tard, ca depend, cest sur, =si, vraiment, je suppose, on verra, \
        je ne suis pas sur, je ne suis pas sure, pourquoi pas, tu es sur, vous etes sur",
    fillers: "sil vous plait, sil te plait, svp, stp, merci, merci beaucoup, monsieur, madame, alors, donc, =bon, bien, tres bien, le, la, les, ca, cela, \
        cest, pas de probleme, pas de souci, sans probleme, bonjour, salut, super, numero, je veux",
};

const SWAHILI: Lists = Lists {
    yes: "ndiyo, ndio, naam, eeh, ee, ehe, sawa, sawa sawa, sawasawa, =haya, bila shaka, endelea, fanya, fanya hivyo, nakubali, kubali, nimekubali, \
        thibitisha, nathibitisha, hakika, =poa, kweli, ni sawa, ni sahihi, sahihi, ndiyo ndiyo",
    no: "hapana, =la, la hasha, acha, ghairi, futa ombi, usifanye, usifanye hivyo, sitaki, sio, =si, siyo, si sawa, sio sawa, hapana asante, simama, \
        nakataa, sikubali, si sahihi, =kataa, kamwe, si sasa, sio sasa, achana nayo",
    maybe: "labda, sijui, huenda, subiri, ngoja, ngoja kidogo, bado, sina uhakika, pengine, baadaye, nadhani, nadhani ndiyo, nafikiri, je",
    fillers: "tafadhali, asante, asante sana, bwana, mama, dada, kaka, ndugu, rafiki, basi, hiyo, hivyo, sana, hakuna shida, hakuna matata, =ni, habari, tu sasa",
};

const KINYARWANDA: Lists = Lists {
    yes: "yego, yego rwose, =ego, =yee, =ye, nibyo, ni byo, emeza, ndemeza, ndabyemeye, ndemeye, nemeye, ndemera, ndabyemera, komeza, bikore, =kora, \
        birakwiye, ni sawa, rwose, neza cyane, ntakibazo yego",
    no: "oya, reka, bireke, rekera, hagarika, bihagarike, sinshaka, simbishaka, ndabyanze, nanze, ntabwo, oya rwose, oya murakoze, sibyo, si byo, \
        wireka, ntubikore, ntukabikore, birahagije",
    maybe: "wenda, simbizi, sinzi, sinzi neza, ahari, tegereza, ba uretse, buretse, ntegereza, nyuma, ntabwo mbizi, ndabitekerezaho, ndumva, ntarabyemeza",
    fillers: "murakoze, murakoze cyane, urakoze, nyamuneka, mwana, nshuti, muvandimwe, nta kibazo, ntakibazo, cyane, neza, muraho, ubwo",
};

const PORTUGUESE: Lists = Lists {
    yes: "sim, sim sim, claro, claro que sim, =pode, pode sim, pode ser sim, =isso, isso mesmo, confirmo, confirma, confirmar, confirmado, =ta, ta bom, \
        ta bem, esta bem, esta bom, com certeza, vai em frente, vai la, manda ver, beleza, =certo, aceito, aceitar, concordo, de acordo, \
        positivo, pode fazer, faca, faz, tenho certeza, por favor sim, =fechado, continue, prossiga, tudo bem",
    no: "nao, cancela, cancele, cancelar, cancelado, =pare, deixa, deixa pra la, deixe, nunca, jamais, de jeito nenhum, nem pensar, negativo, \
        melhor nao, agora nao, hoje nao, nao quero, nao obrigado, nao obrigada, claro que nao, com certeza nao, nao faca, nao faz, esqueca, esquece, \
        recuso, rejeito, esta errado, errado, nao esta certo",
    maybe: "talvez, nao sei, nao tenho certeza, acho que sim, acho, espera, espere, sera, depois, mais tarde, pode ser, quem sabe, ainda nao, \
        um momento, deixa eu ver, deixa eu pensar, depende, tem certeza, serio, quica",
    fillers: "por favor, obrigado, obrigada, muito obrigado, muito obrigada, senhor, senhora, amigo, amiga, chefe, entao, perfeito, otimo, bom, bem, \
        muito bem, =isto, =o, =a, =os, =as, ola, oi, eu, quero, eu quero, sem problema, nao tem problema, agora, valeu, numero, opcao",
};

/// How one of several is picked.
const fn picks(language: Language) -> &'static [(&'static str, Pick)] {
    match language {
        Language::En => ENGLISH_PICKS,
        Language::Es => SPANISH_PICKS,
        Language::Fr => FRENCH_PICKS,
        Language::Sw => SWAHILI_PICKS,
        Language::Rw => KINYARWANDA_PICKS,
        Language::Pt => PORTUGUESE_PICKS,
    }
}

const ENGLISH_PICKS: &[(&str, Pick)] = &[
    (
        "1, one, first, the first, the first one, first one, 1st, the 1st, number 1, number one, option 1, option one, the former",
        Pick::Nth(1),
    ),
    (
        "2, two, second, the second, the second one, second one, 2nd, the 2nd, number 2, number two, option 2, option two",
        Pick::Nth(2),
    ),
    (
        "3, three, third, the third, the third one, third one, 3rd, the 3rd, number 3, number three, option 3, option three",
        Pick::Nth(3),
    ),
    (
        "4, four, fourth, the fourth, the fourth one, fourth one, 4th, the 4th, number 4, option 4",
        Pick::Nth(4),
    ),
    (
        "5, five, fifth, the fifth, the fifth one, fifth one, 5th, the 5th, number 5, option 5",
        Pick::Nth(5),
    ),
    ("6, six, sixth, the sixth", Pick::Nth(6)),
    ("7, seven, seventh, the seventh", Pick::Nth(7)),
    ("8, eight, eighth, the eighth", Pick::Nth(8)),
    ("9, nine, ninth, the ninth", Pick::Nth(9)),
    ("10, ten, tenth, the tenth", Pick::Nth(10)),
    ("last, the last, the last one, last one", Pick::Last),
    (
        "both, both of them, the two, the two of them, both of these",
        Pick::Both,
    ),
    (
        "all, all of them, all of these, everything, every one, all three, each of them, them all, all of it",
        Pick::All,
    ),
];

const SPANISH_PICKS: &[(&str, Pick)] = &[
    (
        "uno, una, primero, primera, el primero, la primera, el uno, la una, numero uno, opcion 1, el 1, la 1",
        Pick::Nth(1),
    ),
    (
        "dos, segundo, segunda, el segundo, la segunda, numero dos, opcion 2, el 2, la 2",
        Pick::Nth(2),
    ),
    (
        "tres, tercero, tercera, el tercero, la tercera, opcion 3, el 3, la 3",
        Pick::Nth(3),
    ),
    (
        "cuatro, cuarto, cuarta, el cuarto, la cuarta, el 4, la 4",
        Pick::Nth(4),
    ),
    (
        "cinco, quinto, quinta, el quinto, la quinta, el 5, la 5",
        Pick::Nth(5),
    ),
    ("el ultimo, la ultima, ultimo, ultima", Pick::Last),
    ("ambos, ambas, los dos, las dos", Pick::Both),
    (
        "todo, todos, todas, todos ellos, todas ellas, los tres, las tres",
        Pick::All,
    ),
];

const FRENCH_PICKS: &[(&str, Pick)] = &[
    (
        "un, une, premier, premiere, le premier, la premiere, le 1",
        Pick::Nth(1),
    ),
    (
        "deux, deuxieme, second, seconde, le deuxieme, la deuxieme, le second, la seconde, le 2",
        Pick::Nth(2),
    ),
    (
        "trois, troisieme, le troisieme, la troisieme, le 3",
        Pick::Nth(3),
    ),
    ("le dernier, la derniere", Pick::Last),
    ("les deux, tous les deux, toutes les deux", Pick::Both),
    (
        "tous, toutes, tout, tous les trois, toutes les trois",
        Pick::All,
    ),
];

const SWAHILI_PICKS: &[(&str, Pick)] = &[
    (
        "moja, ya kwanza, wa kwanza, la kwanza, cha kwanza",
        Pick::Nth(1),
    ),
    ("mbili, ya pili, wa pili, la pili, cha pili", Pick::Nth(2)),
    ("tatu, ya tatu, wa tatu, la tatu, cha tatu", Pick::Nth(3)),
    ("ya mwisho, wa mwisho", Pick::Last),
    ("zote mbili, yote mawili, wote wawili", Pick::Both),
    ("zote, yote, wote, vyote", Pick::All),
];

const KINYARWANDA_PICKS: &[(&str, Pick)] = &[
    ("rimwe, iya mbere, uwa mbere, icya mbere", Pick::Nth(1)),
    ("kabiri, iya kabiri, uwa kabiri, icya kabiri", Pick::Nth(2)),
    ("gatatu, iya gatatu, uwa gatatu, icya gatatu", Pick::Nth(3)),
    ("iya nyuma, icya nyuma", Pick::Last),
    ("zombi, byombi, bombi, yombi", Pick::Both),
    ("zose, byose, bose, yose", Pick::All),
];

const PORTUGUESE_PICKS: &[(&str, Pick)] = &[
    (
        "um, uma, primeiro, primeira, o primeiro, a primeira, o 1, a 1",
        Pick::Nth(1),
    ),
    (
        "dois, duas, segundo, segunda, o segundo, a segunda, o 2, a 2",
        Pick::Nth(2),
    ),
    (
        "tres, terceiro, terceira, o terceiro, a terceira",
        Pick::Nth(3),
    ),
    ("o ultimo, a ultima", Pick::Last),
    ("ambos, ambas, os dois, as duas", Pick::Both),
    ("tudo, todos, todas", Pick::All),
];

/// Between the yes or no and the change.
const CONNECTIVES: &str = "but, and, also, just, actually, sorry, oops, please, pls, then, so, pero, y, tambien, perdon, por, favor, mais, et, aussi, \
    lakini, pia, ariko, kandi, mas, e, tambem, can, could, you, puedes, podrias";

/// Words that change a request wherever they stand.
const CHANGING: &str = "instead, rather, only, without, except, too, solo, solamente, sin, mejor, vez, lugar, excepto, tambien, plutot, sans, \
    seulement, lieu, bila, badala, gusa, aho, apenas, sem, somente";

/// How a change begins when no yes or no goes before it.
const CHANGES: &str = "make it, make that, make them, make this, make the, change it, change that, change the, change to, put it, set it, \
    let it be, it should be, should be, i meant, i mean, i said, what about, how about, no more than, remove the, remove, drop, \
    take off, take out, leave out, leave off, add, plus, minus, less, que sea, que sean, hazlo de, cambialo, cambiala, cambia a, \
    cambia el, cambia la, cambialo a, ponle, quita, quitale, agrega, agregale, anade, anadele, mas, menos, quise decir, \
    change le, mets, ajoute, enleve, badili, badilisha, ongeza, ondoa, hindura, ongeraho, kuramo, muda, mude, coloca, troca, \
    tira, adiciona, que seja, que sejam";

/// How something else begins: another request, which leaves the question open.
const REQUESTS: &str = "show, list, create, bill, invoice, sell, sold, void, delete, cancel, what, whats, how, who, which, when, where, why, is, \
    are, do, does, did, increase, reduce, decrease, rename, restock, receive, received, book, collect, help, hello, hi, find, \
    search, we, register, new, count, counted, update, set, muestra, muestrame, lista, crea, factura, vende, anula, elimina, \
    borra, cancela, que, cuanto, cuanta, cuantos, cuantas, quien, cual, cuales, cuando, donde, aumenta, sube, baja, renombra, \
    ayuda, hola, busca, llegaron, recibimos, montre, combien, quel, quelle, supprime, onyesha, futa, unda, erekana, siba, \
    mostra, mostre, quanto, quantos, apaga";

/// What only a request about the shelf or the books speaks of.
const SHELF: &str = "stock, inventory, category, price, per, at, item, product, shelf, store, shop, low, inventario, existencias, categoria, \
    precio, producto, articulo, almacen, tienda";

/// After a yes or a no these begin a change too: "yes, for Aline", "no, at 150".
const TURNS: &str = "for, at, with, para, con, a, pour, avec, com, kwa";

const NUMBERS: &str = "two, three, four, five, six, seven, eight, nine, ten, twelve, twenty, dozen, half, dos, tres, cuatro, cinco, seis, siete, \
    ocho, nueve, diez, doce, veinte, docena, medio, media";

/// The text of a change, without the yes or no before it; `None` when the reply is something else.
fn change(text: &str, words: &[Word], parts: &[Part]) -> Option<String> {
    let answered = is_answer(parts.first()?.sense);
    let rest_from = |part: &Part| {
        let rest: Vec<&str> = words[part.first..]
            .iter()
            .map(|w| w.folded.as_str())
            .collect();
        rest.join(" ")
    };
    // A change such as "no more than 3 kg" begins with its no: then nothing is cut off.
    let turn = parts.iter().find(|p| {
        let leads = is_answer(p.sense) || among(CONNECTIVES, &words[p.first].folded);
        !leads || begins(&rest_from(p), CHANGES)
    })?;
    let said = text.get(words[turn.first].start..)?.trim();
    changes(&rest_from(turn), answered).then(|| said.to_owned())
}

const fn is_answer(sense: Sense) -> bool {
    matches!(sense, Sense::Yes | Sense::No | Sense::Maybe)
}

/// Whether what is left after a yes or no (`answered`), or the whole reply, alters the request.
fn changes(rest: &str, answered: bool) -> bool {
    let words: Vec<&str> = rest.split(' ').collect();
    let has = |list: &str| words.iter().any(|w| among(list, w));
    let swaps = has("instead, rather, vez, lugar, mejor, lieu, badala");
    if begins(rest, CHANGES) {
        return answered || swaps || !about_the_shelf(rest, &words);
    }
    if begins(rest, REQUESTS) && !swaps {
        return false;
    }
    let numbered = |w: &&str| w.starts_with(|c: char| c.is_ascii_digit()) || among(NUMBERS, w);
    if has(CHANGING) {
        true
    } else if answered {
        words.iter().any(numbered) || begins(rest, TURNS)
    } else {
        words.len() <= 4 && words.first().is_some_and(numbered)
    }
}

/// "Add 5 kg to flour" is a request about the shelf, "add 2 eggs to it" changes what is asked.
fn about_the_shelf(rest: &str, words: &[&str]) -> bool {
    let to_this = [
        "to it",
        "to that",
        "to the bill",
        "to the order",
        "a la factura",
        "al pedido",
    ]
    .iter()
    .any(|t| rest.contains(t));
    let adds = begins(rest, "add, agrega, anade");
    let onto = words.iter().any(|w| matches!(*w, "to" | "a" | "al"));
    words.iter().any(|w| among(SHELF, w)) || (adds && onto && !to_this)
}

fn begins(text: &str, phrases: &str) -> bool {
    phrases.split(", ").any(|phrase| {
        text.strip_prefix(phrase)
            .is_some_and(|tail| tail.is_empty() || tail.starts_with(' '))
    })
}

fn among(list: &str, word: &str) -> bool {
    list.split(", ").any(|entry| entry == word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use Language::{En, Es, Fr, Pt, Rw, Sw};

    /// Every text of a list parted by bars reads as `wanted`.
    fn all(language: Language, texts: &str, wanted: &Reading) {
        for text in texts.split(" | ") {
            assert_eq!(read(text, language), *wanted, "{text:?} in {language:?}");
        }
    }

    #[test]
    fn plain_yes_in_six_languages() {
        all(
            En,
            "yes | Yes | YES | yes please | Yes, please! | yeah do it | yep | yup | ok | OK. | okay | sure | sure, go ahead | \
             of course | no problem, go ahead | go ahead | do it | please do | confirm | confirmed | I agree | yesss | \
             yes yes yes | y | k | yes sir | ok thanks | alright | all right | that's right | sounds good | I'm sure | \
             yes, I am sure | 👍 | 👍🏽 | yes 👍 | ✅ | yes create it | fine, thank you | approve | proceed | absolutely | \
             yes, of course, go ahead please | sí, dale | oui | ndiyo | yego | sim",
            &Reading::Yes,
        );
        all(
            Es,
            "sí | si | Sí, dale | sí por favor | claro | claro que sí | dale | vale | de acuerdo | adelante | hazlo | \
             confirmo | por supuesto | está bien | sip | siii | ok | yes | sí, gracias | como no | acepto | \
             sin problema, adelante | ¡Sí! | va | ok, perfecto",
            &Reading::Yes,
        );
        all(
            Fr,
            "oui | Oui, merci | ouais | d'accord | bien sûr | vas-y | allez-y | je confirme | c'est bon | ok | \
             oui s'il vous plaît | yes",
            &Reading::Yes,
        );
        all(
            Sw,
            "ndiyo | ndio | Ndiyo, asante | sawa | sawa sawa | naam | bila shaka | endelea | nakubali | hakuna shida, endelea | \
             yes | haya",
            &Reading::Yes,
        );
        all(
            Rw,
            "yego | Yego, murakoze | nibyo | ni byo | ndabyemeye | komeza | emeza | yego rwose | ego | ok | oui",
            &Reading::Yes,
        );
        all(
            Pt,
            "sim | Sim, por favor | claro | pode | isso mesmo | com certeza | tá bom | confirmo | ok | vai em frente | beleza | \
             está bem",
            &Reading::Yes,
        );
    }

    #[test]
    fn plain_no_in_six_languages() {
        all(
            En,
            "no | No. | nope | nah | no thanks | no, thank you | cancel | cancel it | cancel that please | don't | dont do it | \
             do not do it | stop | never mind | nevermind | forget it | no way | not now | absolutely not | of course not | \
             nooo | n | 👎 | ❌ | hapana | oya | não | non | I changed my mind | don't stop",
            &Reading::No,
        );
        all(
            Es,
            "no | no gracias | cancela | cancélalo | mejor no | olvídalo | claro que no | por supuesto que no | nunca | \
             déjalo | ahora no | no lo hagas | ya no quiero",
            &Reading::No,
        );
        all(
            Fr,
            "non | non merci | annule | annulez | laisse tomber | pas question | surtout pas | bien sûr que non | pas maintenant",
            &Reading::No,
        );
        all(
            Sw,
            "hapana | hapana asante | la | sitaki | ghairi | usifanye | siyo | acha",
            &Reading::No,
        );
        all(
            Rw,
            "oya | oya murakoze | reka | sinshaka | hagarika | bireke",
            &Reading::No,
        );
        all(
            Pt,
            "não | nao | não, obrigado | cancela | deixa pra lá | nem pensar | agora não | de jeito nenhum",
            &Reading::No,
        );
    }

    #[test]
    fn doubt_asks_again() {
        all(
            En,
            "yes? | hmm | maybe | not sure | I think so | perhaps | not yes | yes no | no wait yes | yes, wait | wait | \
             I don't know | are you sure? | ok? | no? | yes but no | yes and no | not yet | why not? | I guess | 🤔 | 👍👎 | \
             go ahead and cancel | maybe yes | probably | let me think | no to the first | the first?",
            &Reading::Maybe,
        );
        all(
            Es,
            "tal vez | quizás | no sé | creo que sí | ¿sí? | no estoy seguro | espera | a lo mejor | ya | sí no | depende",
            &Reading::Maybe,
        );
        all(
            Fr,
            "peut-être | je ne sais pas | attends | je crois que oui | oui? | si | pourquoi pas ?",
            &Reading::Maybe,
        );
        all(
            Sw,
            "labda | sijui | subiri | ndiyo? | sina uhakika",
            &Reading::Maybe,
        );
        all(Rw, "wenda | simbizi | buretse | yego?", &Reading::Maybe);
        all(
            Pt,
            "talvez | não sei | acho que sim | sim? | espera | depende",
            &Reading::Maybe,
        );
    }

    #[test]
    fn the_sessions_own_language_comes_first() {
        assert_eq!(read("si", Es), Reading::Yes);
        assert_eq!(read("si", Sw), Reading::No, "in Swahili si means not");
        assert_eq!(read("la", Sw), Reading::No);
        assert_eq!(read("la", Es), Reading::Other);
        assert_eq!(read("y", En), Reading::Yes);
        assert_eq!(read("y", Es), Reading::Other, "in Spanish y means and");
        assert_eq!(read("um", Pt), Reading::Pick(Pick::Nth(1)));
        assert_eq!(read("um", En), Reading::Maybe);
    }

    #[test]
    fn a_change_is_told_from_an_answer() {
        for (text, language, wanted) in [
            ("yes, but make it 3 kg", En, "make it 3 kg"),
            ("yes but make it 3kg", En, "make it 3kg"),
            ("no, make it 3kg", En, "make it 3kg"),
            ("yes make it 3", En, "make it 3"),
            ("make it 3 kg", En, "make it 3 kg"),
            ("can you make it 3 kg?", En, "make it 3 kg?"),
            ("3 kg instead", En, "3 kg instead"),
            ("3 instead", En, "3 instead"),
            ("3 kg", En, "3 kg"),
            ("yes, 3 kg", En, "3 kg"),
            ("ok 3 kg please", En, "3 kg please"),
            ("yes, without the shampoo", En, "without the shampoo"),
            ("without the shampoo", En, "without the shampoo"),
            ("for Aline instead", En, "for Aline instead"),
            ("yes, for Aline", En, "for Aline"),
            ("yes and also add 5kg rice", En, "add 5kg rice"),
            ("add 2 eggs too", En, "add 2 eggs too"),
            ("add 2 eggs to it", En, "add 2 eggs to it"),
            ("remove the shampoo", En, "remove the shampoo"),
            ("only 1 shampoo", En, "only 1 shampoo"),
            ("no more than 3 kg", En, "no more than 3 kg"),
            ("no, delete rice instead", En, "delete rice instead"),
            ("yes, at 150 per kg", En, "at 150 per kg"),
            ("what about 2 kg?", En, "what about 2 kg?"),
            ("sí, pero que sean 3 kg", Es, "que sean 3 kg"),
            ("no, mejor 3 kg", Es, "mejor 3 kg"),
            ("3 kg en vez de 2", Es, "3 kg en vez de 2"),
            ("sin el champú", Es, "sin el champú"),
            ("sí, para Aline", Es, "para Aline"),
            ("sí, con 50 de descuento", Es, "con 50 de descuento"),
            ("oui, mais 3 kg", Fr, "3 kg"),
            ("oui mais sans le shampooing", Fr, "sans le shampooing"),
            ("ndiyo, lakini 3 kg", Sw, "3 kg"),
            ("yego, ariko 3 kg", Rw, "3 kg"),
            ("sim, mas 3 kg", Pt, "mas 3 kg"),
        ] {
            assert_eq!(
                read(text, language),
                Reading::Change(wanted.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn picks_among_several() {
        use Pick::{All, Both, Last, Nth};
        for (text, language, pick) in [
            ("1", En, Nth(1)),
            ("2.", En, Nth(2)),
            ("yes to the first", En, Nth(1)),
            ("the second", En, Nth(2)),
            ("the second one please", En, Nth(2)),
            ("first", En, Nth(1)),
            ("number 2", En, Nth(2)),
            ("#3", En, Nth(3)),
            ("the last one", En, Last),
            ("both", En, Both),
            ("yes to both", En, Both),
            ("all", En, All),
            ("all of them", En, All),
            ("yes, all of them please", En, All),
            ("el segundo", Es, Nth(2)),
            ("la primera por favor", Es, Nth(1)),
            ("sí, las dos", Es, Both),
            ("todos", Es, All),
            ("le premier", Fr, Nth(1)),
            ("les deux", Fr, Both),
            ("ya pili", Sw, Nth(2)),
            ("zote", Sw, All),
            ("iya mbere", Rw, Nth(1)),
            ("o segundo", Pt, Nth(2)),
        ] {
            assert_eq!(read(text, language), Reading::Pick(pick), "{text}");
        }
        assert_eq!(Nth(3).of(2), None);
        assert_eq!(Both.of(3), None);
        assert_eq!(Last.of(3), Some(vec![2]));
        assert_eq!(All.of(2), Some(vec![0, 1]));
    }

    #[test]
    fn everything_else_leaves_the_question_open() {
        all(
            En,
            " |     | please | thanks | how much sugar is left? | show low stock | yes and show me the stock | \
             yes, if Ali agrees | yes when the rice arrives | no, show the bills | Add 20kg sugar at 160 per kg to grocery | \
             Create a bill for Ali: 2kg sugar and 1 shampoo | cancel bill 12 | yesterday | noon | yes-man | add 5 kg to flour | \
             remove 2 soap from stock | okra | nothing works | set the price of sugar to 170 | that one | no shampoo",
            &Reading::Other,
        );
        all(
            Es,
            "¿cuánto azúcar queda? | sí y muéstrame el inventario | gracias | factura a Ali 2 kg de arroz | anula la factura 12",
            &Reading::Other,
        );
        let long = "yes ".repeat(100);
        assert_eq!(read(&long, En), Reading::Other);
        assert_eq!(read(&"a".repeat(100_000), En), Reading::Other);
    }

    /// Whether a folded word stands in a yes phrase or among the fillers of any language.
    fn harmless(word: &str) -> bool {
        LANGUAGES.into_iter().map(lists).any(|l| {
            [l.yes, l.fillers].iter().any(|list| {
                list.split([',', ' '])
                    .any(|w| w.trim().trim_start_matches('=') == word)
            })
        })
    }

    fn languages() -> impl Strategy<Value = Language> {
        prop::sample::select(LANGUAGES.to_vec())
    }

    proptest! {
        #[test]
        fn random_text_is_a_yes_only_when_made_of_yes_words_and_fillers(text in "\\PC{0,40}", language in languages()) {
            if read(&text, language) == Reading::Yes {
                for word in split(&text) {
                    prop_assert!(harmless(&word.folded) || harmless(&squeezed(&word.folded)), "{text:?}: {}", word.folded);
                }
            }
        }

        #[test]
        fn one_foreign_word_spoils_any_yes(
            before in prop::collection::vec(prop::sample::select(vec!["yes", "please", "ok", "sí", "oui", "dale", "go ahead", "sim", "ndiyo"]), 0..4),
            word in "[b-df-hj-np-tv-z]{4,9}",
            after in prop::collection::vec(prop::sample::select(vec!["yes", "please", "do it", "yego", "thanks"]), 0..4),
            language in languages(),
        ) {
            let text = format!("{} {word} {}", before.join(" "), after.join(" "));
            prop_assert_ne!(read(&text, language), Reading::Yes);
        }

        #[test]
        fn a_no_anywhere_is_never_a_yes(
            words in prop::collection::vec(prop::sample::select(vec!["yes", "no", "please", "ok", "cancel", "sí", "hapana", "do", "it", "not", "don't", "stop", "sure"]), 1..6),
            language in languages(),
        ) {
            let text = words.join(" ");
            let denied = words.iter().any(|w| matches!(*w, "no" | "cancel" | "hapana" | "not" | "don't" | "stop"));
            if denied {
                prop_assert_ne!(read(&text, language), Reading::Yes, "{}", text);
            }
        }
    }
}
