//! What the pages say on which people log in and out.

use contracts::locale::Locale;

/// The words of both pages.
#[derive(Debug)]
pub(crate) struct Words {
    /// The tag of the language.
    pub(crate) lang: &'static str,
    /// Above the form.
    pub(crate) title: &'static str,
    /// The business's handle.
    pub(crate) shop: &'static str,
    /// The person's name.
    pub(crate) name: &'static str,
    /// The password.
    pub(crate) password: &'static str,
    /// The button that lets in.
    pub(crate) enter: &'static str,
    /// Before the name of whoever has logged in.
    pub(crate) logged_in_as: &'static str,
    /// The button that lets out.
    pub(crate) leave: &'static str,
    /// The link to where somebody wanted to go.
    pub(crate) onward: &'static str,
    /// Nobody was let in, whatever the reason.
    pub(crate) refused: &'static str,
    /// Too many others are logging in.
    pub(crate) busy: &'static str,
    /// The database is away.
    pub(crate) unavailable: &'static str,
    /// This server only reads.
    pub(crate) only_reads: &'static str,
    /// The form came from nowhere, or could not be read.
    pub(crate) unreadable: &'static str,
}

const ENGLISH: Words = Words {
    lang: "en",
    title: "Log in",
    shop: "Shop",
    name: "Name",
    password: "Password",
    enter: "Log in",
    logged_in_as: "Logged in as",
    leave: "Log out",
    onward: "Go on",
    refused: "The shop, the name or the password is not right, or there were too many attempts. Try again, or wait a quarter of an hour.",
    busy: "Too many people are logging in. Try again in a few seconds.",
    unavailable: "Unable to reach the system. Please try again.",
    only_reads: "This server only reads, so nobody logs in here. Use the shop's other address.",
    unreadable: "The form could not be read. Fill it in on this page.",
};

const SPANISH: Words = Words {
    lang: "es",
    title: "Entrar",
    shop: "Tienda",
    name: "Nombre",
    password: "Contraseña",
    enter: "Entrar",
    logged_in_as: "Ha entrado como",
    leave: "Salir",
    onward: "Continuar",
    refused: "La tienda, el nombre o la contraseña no son correctos, o hubo demasiados intentos. Pruebe otra vez o espere un cuarto de hora.",
    busy: "Demasiadas personas están entrando. Inténtelo de nuevo en unos segundos.",
    unavailable: "No se puede acceder al sistema. Inténtelo de nuevo.",
    only_reads: "Este servidor solo lee, así que aquí no entra nadie. Use la otra dirección de la tienda.",
    unreadable: "No se pudo leer el formulario. Rellénelo en esta página.",
};

/// The words in a language.
#[must_use]
pub(crate) fn words(locale: Locale) -> &'static Words {
    match locale {
        Locale::En => &ENGLISH,
        Locale::Es => &SPANISH,
    }
}
