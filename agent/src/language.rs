//! The languages people talk to us in.

use std::collections::HashMap;
use std::sync::LazyLock;

use contracts::locale::Locale;
use serde::{Deserialize, Serialize};

/// A language whose yes and no we understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Spanish.
    Es,
    /// French.
    Fr,
    /// Swahili.
    Sw,
    /// Kinyarwanda.
    Rw,
    /// Portuguese.
    Pt,
}

/// Every language, the default first.
pub const LANGUAGES: [Language; 6] = [
    Language::En,
    Language::Es,
    Language::Fr,
    Language::Sw,
    Language::Rw,
    Language::Pt,
];

impl Language {
    /// The language of a locale tools answer in.
    #[must_use]
    pub const fn of(locale: Locale) -> Language {
        match locale {
            Locale::En => Language::En,
            Locale::Es => Language::Es,
        }
    }

    /// The locale tools answer in for this language: Spanish for Spanish, else English.
    #[must_use]
    pub const fn locale(self) -> Locale {
        match self {
            Language::Es => Locale::Es,
            Language::En | Language::Fr | Language::Sw | Language::Rw | Language::Pt => Locale::En,
        }
    }

    /// The BCP 47 language subtag: `es`.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Language::En => "en",
            Language::Es => "es",
            Language::Fr => "fr",
            Language::Sw => "sw",
            Language::Rw => "rw",
            Language::Pt => "pt",
        }
    }

    /// Reads a BCP 47 tag (`es`, `pt-BR`, `en_GB`) by its language; `None` for one we do not know.
    #[must_use]
    pub fn from_tag(tag: &str) -> Option<Language> {
        let subtag = tag.trim().split(['-', '_']).next().unwrap_or_default();
        LANGUAGES
            .into_iter()
            .find(|l| l.tag().eq_ignore_ascii_case(subtag))
    }
}

/// Texts are judged by their first words only: enough to tell, whatever the length.
const WORDS_MAX: usize = 200;

/// The language a text is written in, judged by its small words, question words and accents. `None` when it says nothing
/// ("sugar 2kg") or as much of one language as of another: the session then keeps its earlier language.
#[must_use]
pub fn detect(text: &str) -> Option<Language> {
    let folded = fold(text);
    let mut scores = LANGUAGES.map(|language| (language, signs(text, language)));
    for word in folded
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
        .take(WORDS_MAX)
    {
        let Some(languages) = SMALL_WORDS.get(word) else {
            continue;
        };
        // One language's own word says more than one that several share.
        let says = if languages.count_ones() > 1 { 1 } else { 2 };
        for (place, (_, score)) in scores.iter_mut().enumerate() {
            if languages & (1 << place) != 0 {
                *score += says;
            }
        }
    }
    scores.sort_by_key(|(_, score)| std::cmp::Reverse(*score));
    let [(best, first), (_, second), ..] = scores;
    (first > second).then_some(best)
}

/// What letters alone give away.
fn signs(text: &str, language: Language) -> u32 {
    let holds = |letters: &[char]| text.chars().any(|c| letters.contains(&c));
    let lower = text.to_lowercase();
    let in_lower = |letters: &[char]| lower.chars().any(|c| letters.contains(&c));
    match language {
        Language::Es => {
            3 * u32::from(holds(&['¿', '¡']))
                + 2 * u32::from(in_lower(&['ñ']))
                + u32::from(in_lower(&['á', 'í', 'ó', 'ú']))
        }
        Language::Pt => {
            3 * u32::from(in_lower(&['ã', 'õ'])) + u32::from(in_lower(&['ç', 'ê', 'â', 'á', 'ó']))
        }
        Language::Fr => {
            2 * u32::from(in_lower(&['è', 'ù', 'œ', 'î', 'û', 'ë']))
                + u32::from(in_lower(&['ç', 'ê', 'â', 'à', 'é']))
        }
        Language::En | Language::Sw | Language::Rw => 0,
    }
}

/// Every small word with the languages it is a word of, a bit each in the order of [`LANGUAGES`]. Made once: a turn looks up every word
/// of a message.
static SMALL_WORDS: LazyLock<HashMap<&'static str, u8>> = LazyLock::new(|| {
    let mut all = HashMap::new();
    for (place, language) in LANGUAGES.into_iter().enumerate() {
        for word in small_words(language).split(' ') {
            *all.entry(word).or_default() |= 1 << place;
        }
    }
    all
});

/// Words that are in most sentences of a language, folded. Verbs of a shop's daily orders count: "add" is as English as "the".
const fn small_words(language: Language) -> &'static str {
    match language {
        Language::En => ENGLISH,
        Language::Es => SPANISH,
        Language::Fr => FRENCH,
        Language::Sw => SWAHILI,
        Language::Rw => KINYARWANDA,
        Language::Pt => PORTUGUESE,
    }
}

const ENGLISH: &str = "the is are was were am what whats which who when where why how much many and or of to for with from at by in on it \
    its we you they he she i im id my our your this that these those please thanks thank hello hi hey yes yeah yep \
    nope not dont do does did can could would will should want wants need have has had add show list create make new \
    delete remove set change bill sell sold sales each per left low today yesterday tomorrow week month all give me \
    put increase reduce update rename more stock items owe owes help cancel received counted price";

const SPANISH: &str = "el la los las un una unos unas de del al que y o en por para con sin es son hay cuanto cuanta cuantos cuantas cual \
    cuales como cuando donde quien quiero quiere favor gracias hola buenos buenas si no mi tu su nos me le lo se hoy \
    ayer manana semana mes esta este muestra muestrame agrega agregar anade anadir crea crear factura facturas haz \
    hazle elimina eliminar borra aumenta reduce sube baja vende vendimos ventas queda quedan llegaron llego recibimos \
    precio cuesta tenemos cada mas menos pero mejor dame das dos tres cuatro nuevo nueva producto productos anula \
    cambia pon ponme todo todos vale dale muy bien ayuda debe contamos lista puedes puede puedo \
    hacer hacen haces rapido tengo tienes tiene necesito quisiera eso esto ahora luego tambien existencias inventario";

const FRENCH: &str = "le la les un une des du de et ou est sont je tu il elle nous vous ils que qui quoi quel quelle quels quelles \
    combien comment quand pourquoi pour avec sans dans sur au aux ce cette ces mon ma mes votre merci bonjour bonsoir \
    salut oui non pas plus moins veux voudrais ajoute ajouter ajoutez montre montrez facture cree creer supprime \
    supprimer vendre vendu stock prix aujourd hui hier demain semaine mois chaque svp sil plait donne moi mais reste \
    avons";

const SWAHILI: &str = "na ya wa kwa ni za la cha vya kuna hakuna ngapi nini nani gani lini wapi vipi kiasi ongeza onyesha nionyeshe \
    tafadhali asante habari jambo hujambo mambo ndiyo ndio hapana sawa leo jana kesho wiki mwezi nataka naomba nipe \
    unda tengeneza ankara futa ondoa punguza uza tumeuza bei sukari kila yangu yako hii hiyo hizo zote yote mimi wewe \
    sisi labda sana bidhaa mauzo chumvi unga";

const KINYARWANDA: &str = "ni na ku mu kuri muri cya bya ya ba ibi iki uyu iyi aya yego oya murakoze muraho mwaramutse mwiriwe bite amakuru \
    ndashaka nshaka turashaka ongeraho ongera erekana nyereka kora fagitire siba gabanya gurisha twagurishije angahe \
    zingahe bingahe kangahe nde ryari hehe uyumunsi uno munsi ejo icyumweru ukwezi igiciro isukari umuceri buri byose \
    zose mbere kabiri gatatu ndabizi simbizi wenda nibyo sinzi mbwira mpa dufite hasigaye nyamuneka cyane";

const PORTUGUESE: &str = "o a os as um uma de do da dos das no na nos nas em por para com sem e ou que quanto quanta quantos quantas qual \
    quais como quando onde quem quero queria obrigado obrigada ola oi bom boa dia tarde sim nao meu minha seu sua voce \
    eu ele ela hoje ontem amanha semana mes adiciona adicione adicionar mostre mostra mostrar cria crie criar fatura \
    conta apaga apague vende vendemos vendas resta restam temos preco custa cada mais menos mas favor isso tudo talvez \
    estoque produtos";

/// A text as words are compared: lower case, accents off Latin letters, apostrophes out ("Don't" and "don’t" are "dont"). Letters
/// of other scripts stay what they are: transliterated they could read as a word they are not.
#[must_use]
pub fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_lowercase) {
        match c {
            '\'' | '’' | '‘' | 'ʼ' | '`' | '´' | '\u{300}'..='\u{36f}' => {}
            '\u{c0}'..='\u{24f}' => out.push_str(deunicode::deunicode_char(c).unwrap_or_default()),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_tell_their_language() {
        use Language::{En, Es, Fr, Pt, Rw, Sw};
        for (text, language) in [
            ("Add 20kg sugar at 160 per kg to grocery", En),
            ("What's in the beauty category?", En),
            ("how much sugar is left", En),
            ("yes please", En),
            ("Agrega 20 kg de azúcar a 160 el kilo en abarrotes", Es),
            ("¿Qué hay en la categoría belleza?", Es),
            ("¿arroz?", Es),
            ("Quiero dos botellas de leche", Es),
            ("hazle una factura a Ali: 2 kg de azucar y 1 champu", Es),
            ("¿Cuánto vendimos hoy?", Es),
            ("sí, pero que sean 3 kg", Es),
            ("qué más puedes hacer", Es),
            ("rápido!!", Es),
            ("Combien de sucre reste-t-il ?", Fr),
            ("je voudrais deux bouteilles de lait", Fr),
            ("oui, merci", Fr),
            ("Nataka chupa mbili za maziwa tafadhali", Sw),
            ("ndiyo asante", Sw),
            ("Ndashaka ibiro bibiri by'isukari", Rw),
            ("yego murakoze", Rw),
            ("Quanto açúcar temos hoje?", Pt),
            ("não, obrigado", Pt),
            ("Quero duas garrafas com leite, por favor", Pt),
        ] {
            assert_eq!(detect(text), Some(language), "{text}");
        }
    }

    #[test]
    fn a_text_that_says_nothing_keeps_the_sessions_language() {
        for text in [
            "sugar 2kg",
            "",
            "   ",
            "12",
            "👍",
            "Ali",
            "ok",
            "+250788123456",
        ] {
            assert_eq!(detect(text), None, "{text}");
        }
    }

    #[test]
    fn tags_are_read_back() {
        for language in LANGUAGES {
            assert_eq!(Language::from_tag(language.tag()), Some(language));
        }
        assert_eq!(Language::from_tag("pt-BR"), Some(Language::Pt));
        assert_eq!(Language::from_tag("ES_mx"), Some(Language::Es));
        assert_eq!(Language::from_tag("de"), None);
    }

    #[test]
    fn folding_takes_accents_and_apostrophes_off_and_leaves_other_scripts() {
        assert_eq!(fold("Azúcar ÑANDÚ"), "azucar nandu");
        assert_eq!(fold("azu\u{301}car"), "azucar");
        assert_eq!(fold("Don’t"), "dont");
        assert_eq!(fold("сахар"), "сахар");
    }
}
