//! What is said about bookings and what can be booked.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use contracts::failure::{Candidate, FailureCode, ToolFailure};
use contracts::locale::Locale;
use contracts::money::Money;
use contracts::tools::booking::{BookingStatus, Weekday};
use rust_decimal::Decimal;

use super::arguments::refused;
use super::inventory::Page;
use super::{all_of, one_of, reply_yes, some_of};
use crate::bookings::resources::{Resource, interval};
use crate::bookings::slots::{Opening, Span};
use crate::bookings::terms::Terms;
use crate::bookings::times;
use crate::bookings::wanted::Verdict;

/// "Friday".
#[must_use]
pub(crate) fn weekday(locale: Locale, day: Weekday) -> &'static str {
    match (locale, day) {
        (Locale::En, Weekday::Monday) => "Monday",
        (Locale::En, Weekday::Tuesday) => "Tuesday",
        (Locale::En, Weekday::Wednesday) => "Wednesday",
        (Locale::En, Weekday::Thursday) => "Thursday",
        (Locale::En, Weekday::Friday) => "Friday",
        (Locale::En, Weekday::Saturday) => "Saturday",
        (Locale::En, Weekday::Sunday) => "Sunday",
        (Locale::Es, Weekday::Monday) => "lunes",
        (Locale::Es, Weekday::Tuesday) => "martes",
        (Locale::Es, Weekday::Wednesday) => "miércoles",
        (Locale::Es, Weekday::Thursday) => "jueves",
        (Locale::Es, Weekday::Friday) => "viernes",
        (Locale::Es, Weekday::Saturday) => "sábado",
        (Locale::Es, Weekday::Sunday) => "domingo",
    }
}

/// "Friday 2026-11-27".
#[must_use]
pub(crate) fn day(locale: Locale, day: NaiveDate) -> String {
    let number = i16::try_from(day.weekday().number_from_monday()).unwrap_or(1);
    let name = Weekday::from_number(number).map_or("", |d| weekday(locale, d));
    format!("{name} {}", super::day(day))
}

/// "Friday 2026-11-27 15:00–15:30", with the zone where it is not the shop's.
#[must_use]
pub(crate) fn when(locale: Locale, during: Span, zone: Tz, shops: Tz) -> String {
    let start = day(locale, during.from.with_timezone(&zone).date_naive());
    let from = times::shown(during.from, zone);
    let until = times::shown(during.until, zone);
    let place = if zone == shops {
        String::new()
    } else {
        format!(" ({})", zone.name())
    };
    format!("{start} {from}–{until}{place}")
}

/// A free time that is offered.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    /// What, where it has to be said.
    pub resource: Option<String>,
    /// When it begins.
    pub starts_at: DateTime<Utc>,
    /// Where its clock is.
    pub zone: Tz,
    /// The time that was asked for.
    pub asked: DateTime<Utc>,
    /// What it costs.
    pub price: Option<Money>,
}

impl Offer {
    fn date(&self) -> NaiveDate {
        self.starts_at.with_timezone(&self.zone).date_naive()
    }

    /// "15:30", with the day where it is another one.
    fn said(&self, locale: Locale) -> String {
        let time = times::shown(self.starts_at, self.zone);
        let what = self.resource.as_ref().map(|r| format!("{r} "));
        let what = what.unwrap_or_default();
        if self.date() == self.asked.with_timezone(&self.zone).date_naive() {
            format!("{what}{time}")
        } else {
            format!("{what}{} {time}", day(locale, self.date()))
        }
    }

    /// What the argument `time` takes back: "2026-11-27 15:30".
    fn candidate(&self) -> Candidate {
        let what = self.resource.as_ref().map(|r| format!("{r}: "));
        Candidate {
            name: format!(
                "{}{} {}",
                what.unwrap_or_default(),
                super::day(self.date()),
                times::shown(self.starts_at, self.zone)
            ),
            amount: self.price,
            ..Candidate::default()
        }
    }
}

fn offered(locale: Locale, offers: &[Offer]) -> String {
    let said: Vec<String> = offers.iter().map(|o| o.said(locale)).collect();
    match (locale, said.is_empty()) {
        (Locale::En, true) => " Nothing is free in the week around it.".to_owned(),
        (Locale::Es, true) => " No hay nada libre en la semana anterior ni posterior.".to_owned(),
        (Locale::En, false) => format!(" Free: {}.", said.join(", ")),
        (Locale::Es, false) => format!(" Libre: {}.", said.join(", ")),
    }
}

const OFFERS_HINT: &str = "Offer the candidates, which name day and time; then call again with one of them as date and time. Never pick one without the person.";

fn code(why: Verdict) -> FailureCode {
    match why {
        Verdict::Taken => FailureCode::SlotTaken,
        _ => FailureCode::NotBookable,
    }
}

/// "Chair 1 is taken on Friday 2026-11-27 15:00–15:30. Free: 14:30, 15:30."
#[must_use]
pub(crate) fn not_bookable(
    locale: Locale,
    why: Verdict,
    resource: &Resource,
    when: &str,
    offers: &[Offer],
) -> ToolFailure {
    let name = &resource.name;
    let reason = match (locale, why) {
        (Locale::En, Verdict::Taken | Verdict::Fits) => format!("{name} is taken on {when}."),
        (Locale::Es, Verdict::Taken | Verdict::Fits) => format!("{name} está ocupado el {when}."),
        (Locale::En, Verdict::Past) => format!("{when} is in the past."),
        (Locale::Es, Verdict::Past) => format!("El {when} ya ha pasado."),
        (Locale::En, Verdict::Closed) => format!("{name} is closed on {when}, or for part of it."),
        (Locale::Es, Verdict::Closed) => {
            format!("{name} está cerrado el {when}, o durante una parte.")
        }
        (Locale::En, Verdict::NoHours) => format!("{name} has no opening hours yet."),
        (Locale::Es, Verdict::NoHours) => format!("{name} aún no tiene horario."),
        (Locale::En, Verdict::TooSoon) => {
            let notice = length(locale, resource.min_notice_minutes.into());
            format!("{name} has to be booked {notice} before, so {when} is too soon.")
        }
        (Locale::Es, Verdict::TooSoon) => {
            let notice = length(locale, resource.min_notice_minutes.into());
            format!("{name} se reserva con {notice} de antelación; el {when} es demasiado pronto.")
        }
        (Locale::En, Verdict::TooFar) => {
            let days = resource.max_ahead_days;
            format!("{name} can be booked {days} days ahead, so {when} is too far.")
        }
        (Locale::Es, Verdict::TooFar) => {
            let days = resource.max_ahead_days;
            format!("{name} se reserva hasta {days} días antes; el {when} queda demasiado lejos.")
        }
    };
    let hint = match why {
        Verdict::NoHours => "The owner gives it hours with booking_set_hours.",
        _ => OFFERS_HINT,
    };
    let free = match why {
        Verdict::NoHours => String::new(),
        _ => offered(locale, offers),
    };
    ToolFailure::new(code(why), format!("{reason}{free}"), hint)
        .at("time")
        .offering(offers.iter().map(Offer::candidate).collect())
}

/// "Nothing is free on Friday 2026-11-27 15:00–15:30. Free: Chair 1 15:30."
#[must_use]
pub(crate) fn nothing_free(
    locale: Locale,
    when: &str,
    taken: bool,
    offers: &[Offer],
) -> ToolFailure {
    let reason = match locale {
        Locale::En => format!("Nothing can be booked on {when}."),
        Locale::Es => format!("No se puede reservar nada el {when}."),
    };
    let why = if taken {
        Verdict::Taken
    } else {
        Verdict::Closed
    };
    let said = format!("{reason}{}", offered(locale, offers));
    ToolFailure::new(code(why), said, OFFERS_HINT)
        .at("time")
        .offering(offers.iter().map(Offer::candidate).collect())
}

/// "Nothing can be booked here yet."
#[must_use]
pub(crate) fn nothing_to_book(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "Nothing can be booked here yet.",
        Locale::Es => "Aquí aún no se puede reservar nada.",
    };
    ToolFailure::new(
        FailureCode::UnknownResource,
        message,
        "The owner sets up what can be booked with booking_set_resource and booking_set_hours.",
    )
    .at("resource")
}

/// "Nothing called massage can be booked."
#[must_use]
pub(crate) fn unknown_resource(
    locale: Locale,
    asked: &str,
    candidates: Vec<Candidate>,
    field: &str,
) -> ToolFailure {
    let names = one_of(locale, &named(&candidates));
    let message = match (locale, candidates.is_empty()) {
        (Locale::En, true) => format!("Nothing called {asked} can be booked."),
        (Locale::Es, true) => format!("No hay nada llamado {asked} que se pueda reservar."),
        (Locale::En, false) => {
            format!("Nothing called {asked} can be booked. Did you mean {names}?")
        }
        (Locale::Es, false) => {
            format!("No hay nada llamado {asked} que se pueda reservar. ¿Quiso decir {names}?")
        }
    };
    ToolFailure::new(
        FailureCode::UnknownResource,
        message,
        "Ask the person what is meant; check_availability without a resource shows everything that can be booked.",
    )
    .at(field)
    .offering(candidates)
}

/// "Which chair do you mean: Chair 1 or Chair 2?"
#[must_use]
pub(crate) fn ambiguous_resource(
    locale: Locale,
    asked: Option<&str>,
    candidates: Vec<Candidate>,
    field: &str,
) -> ToolFailure {
    let names = one_of(locale, &named(&candidates));
    let message = match (locale, asked) {
        (Locale::En, Some(asked)) => format!("Which {asked} do you mean: {names}?"),
        (Locale::Es, Some(asked)) => format!("¿A cuál se refiere con {asked}: {names}?"),
        (Locale::En, None) => format!("What shall be booked: {names}?"),
        (Locale::Es, None) => format!("¿Qué se reserva: {names}?"),
    };
    ToolFailure::new(
        FailureCode::AmbiguousResource,
        message,
        "Ask the person, then repeat the call with the name of one candidate as resource.",
    )
    .at(field)
    .offering(candidates)
}

/// "Chair 1 cannot be booked any more."
#[must_use]
pub(crate) fn inactive(locale: Locale, name: &str, field: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("{name} cannot be booked any more."),
        Locale::Es => format!("{name} ya no se puede reservar."),
    };
    ToolFailure::new(
        FailureCode::NotBookable,
        message,
        "Offer something else. The owner makes it bookable again with booking_set_resource and active true.",
    )
    .at(field)
}

fn named(candidates: &[Candidate]) -> Vec<String> {
    candidates.iter().map(|c| c.name.clone()).collect()
}

/// "On Sunday 2026-10-25 the clock shows 02:30 twice. Which one: 02:30 (+02:00) or 02:30 (+01:00)?"
#[must_use]
pub(crate) fn ambiguous_time(
    locale: Locale,
    date: NaiveDate,
    time: NaiveTime,
    readings: &[String],
) -> ToolFailure {
    let (date, time) = (day(locale, date), time.format("%H:%M"));
    let names = one_of(locale, readings);
    let message = match locale {
        Locale::En => format!(
            "The clocks change on {date}, so {time} is not one clear time then. Which one: {names}?"
        ),
        Locale::Es => format!(
            "El {date} cambia la hora, así que {time} no es una hora clara. ¿Cuál: {names}?"
        ),
    };
    let candidates = readings.iter().map(|name| Candidate {
        name: name.clone(),
        ..Candidate::default()
    });
    ToolFailure::new(
        FailureCode::AmbiguousTime,
        message,
        "Ask the person, then repeat the call with one candidate, offset included, as time.",
    )
    .at("time")
    .offering(candidates.collect())
}

/// "A time is given as HH:MM, such as 15:00."
#[must_use]
pub(crate) fn bad_time(locale: Locale, field: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => "A time is given as hours and minutes, such as 15:00.",
        Locale::Es => "La hora se indica con horas y minutos, como 15:00.",
    };
    let hint = format!("Give {field} as HH:MM on a 24-hour clock.");
    refused(field, message.to_owned(), hint)
}

/// "A window is given as a day, a time of the day, or both."
#[must_use]
pub(crate) fn bad_window(locale: Locale, field: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => "A window goes from one day or time to a later one, at most 31 days on.",
        Locale::Es => "Un intervalo va de un día u hora a otro posterior, 31 días como máximo.",
    };
    let hint = format!(
        "Give {field} as YYYY-MM-DD, as HH:MM together with date, or as \"YYYY-MM-DD HH:MM\"; from before to."
    );
    refused(field, message.to_owned(), hint)
}

/// "A booking takes 5 to 1440 minutes."
#[must_use]
pub(crate) fn bad_minutes(locale: Locale, field: &str, least: u32, most: u32) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("That has to be from {least} to {most}."),
        Locale::Es => format!("Tiene que ser de {least} a {most}."),
    };
    refused(
        field,
        message,
        format!("Give {field} from {least} to {most}."),
    )
}

/// "Mars/Olympus is no time zone."
#[must_use]
pub(crate) fn bad_zone(locale: Locale, field: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => "That is no time zone. One is called Africa/Kigali or Europe/Madrid.",
        Locale::Es => "Eso no es una zona horaria. Una se llama Africa/Kigali o Europe/Madrid.",
    };
    refused(field, message.to_owned(), "Give an IANA time zone name.")
}

/// "A fee is 0 to 100 percent."
#[must_use]
pub(crate) fn bad_percent(locale: Locale, field: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => "A fee is 0 to 100 percent of the price, with at most two decimals.",
        Locale::Es => {
            "Un cargo es de 0 a 100 por ciento del precio, con dos decimales como máximo."
        }
    };
    refused(
        field,
        message.to_owned(),
        format!("Give {field} as \"50\"."),
    )
}

/// "That is not a telephone number."
#[must_use]
pub(crate) fn bad_phone(locale: Locale) -> ToolFailure {
    let message = match locale {
        Locale::En => "That is not a full telephone number, such as +250788123456.",
        Locale::Es => "Ese no es un número de teléfono completo, como +250788123456.",
    };
    refused(
        "phone",
        message.to_owned(),
        "Give phone with + and the country code.",
    )
}

/// "+250788123456 is the number of Zoe, not of Ali."
#[must_use]
pub(crate) fn phone_of_another(
    locale: Locale,
    phone: &str,
    owner: &str,
    customer: &str,
) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("{phone} is the number of {owner}, not of {customer}."),
        Locale::Es => format!("{phone} es el número de {owner}, no de {customer}."),
    };
    ToolFailure::new(
        FailureCode::AmbiguousCustomer,
        message,
        "Ask the person who the booking is for; then give the customer or the phone, not both.",
    )
    .at("phone")
    .offering(
        [owner, customer]
            .map(|name| Candidate {
                name: name.to_owned(),
                ..Candidate::default()
            })
            .to_vec(),
    )
}

/// "90 min", "2 h", "1 day".
#[must_use]
pub(crate) fn length(locale: Locale, minutes: i64) -> String {
    let days = match locale {
        Locale::En => ["day", "days"],
        Locale::Es => ["día", "días"],
    };
    match (minutes / 1440, minutes % 1440, minutes % 60) {
        (1, 0, _) => format!("1 {}", days[0]),
        (n, 0, _) if n > 1 => format!("{n} {}", days[1]),
        (_, _, 0) if minutes > 0 => format!("{} h", minutes / 60),
        _ => format!("{minutes} min"),
    }
}

fn percent(bp: i32) -> Decimal {
    Decimal::new(bp.into(), 2).normalize()
}

/// "cancelling less than 1 day before costs 50%", where it costs something.
fn rule(locale: Locale, terms: Terms, price: Option<Money>) -> Option<String> {
    let minutes = terms.notice.num_minutes();
    price.filter(|p| p.amount_minor > 0 && minutes > 0 && terms.fee_bp > 0)?;
    let (notice, fee) = (length(locale, minutes), percent(terms.fee_bp));
    Some(match locale {
        Locale::En => format!("cancelling less than {notice} before costs {fee}%"),
        Locale::Es => format!("cancelar con menos de {notice} de antelación cuesta el {fee}%"),
    })
}

/// Who a booking is for, as the question says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For<'a> {
    /// Nobody in particular.
    Nobody,
    /// Somebody known.
    Known(&'a str),
    /// Somebody who is created with the booking.
    New(&'a str),
}

impl For<'_> {
    fn said(self, locale: Locale) -> String {
        match (locale, self) {
            (_, For::Nobody) => String::new(),
            (Locale::En, For::Known(name)) => format!(" for {name}"),
            (Locale::En, For::New(name)) => format!(" for new customer {name}"),
            (Locale::Es, For::Known(name)) => format!(" para {name}"),
            (Locale::Es, For::New(name)) => format!(" para el nuevo cliente {name}"),
        }
    }
}

fn in_brackets(parts: &[String]) -> String {
    if parts.is_empty() {
        String::new()
    } else {
        format!(" ({})", parts.join("; "))
    }
}

fn price_part(locale: Locale, price: Option<Money>) -> Option<String> {
    price.map(|price| match locale {
        Locale::En => format!("Price: {price}"),
        Locale::Es => format!("Precio: {price}"),
    })
}

/// "Are you sure you want to book Chair 1 for Ali on Friday 2026-11-27 15:00–15:30 (Price: RWF 3,000)? Reply 'yes' to confirm."
#[must_use]
pub(crate) fn ask_create(
    locale: Locale,
    resource: &str,
    whom: For<'_>,
    when: &str,
    price: Option<Money>,
    terms: Terms,
) -> String {
    let (whom, reply) = (whom.said(locale), reply_yes(locale));
    let parts: Vec<String> = price_part(locale, price)
        .into_iter()
        .chain(rule(locale, terms, price))
        .collect();
    let more = in_brackets(&parts);
    match locale {
        Locale::En => {
            format!("Are you sure you want to book {resource}{whom} on {when}{more}? {reply}")
        }
        Locale::Es => {
            format!("¿Seguro que quiere reservar {resource}{whom} el {when}{more}? {reply}")
        }
    }
}

/// "Booked Chair 1 for Ali on Friday 2026-11-27 15:00–15:30: BK-7."
#[must_use]
pub(crate) fn created(
    locale: Locale,
    reference: &str,
    resource: &str,
    customer: Option<&str>,
    when: &str,
    price: Option<Money>,
) -> String {
    let whom = customer.map_or(For::Nobody, For::Known).said(locale);
    let price = price.map(|p| format!(", {p}")).unwrap_or_default();
    match locale {
        Locale::En => format!("Booked {resource}{whom} on {when}: {reference}{price}."),
        Locale::Es => format!("Reservado {resource}{whom} el {when}: {reference}{price}."),
    }
}

fn fee_part(locale: Locale, fee: Option<Money>) -> Option<String> {
    fee.map(|fee| match locale {
        Locale::En => format!("Late: a fee of {fee}"),
        Locale::Es => format!("Fuera de plazo: cargo de {fee}"),
    })
}

/// A booking as a question names it: "BK-7 for Ali (Chair 1, Friday 2026-11-27 15:00–15:30)".
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'a> {
    /// The reference.
    pub reference: &'a str,
    /// Whose it is.
    pub customer: Option<&'a str>,
    /// What is booked.
    pub resource: &'a str,
    /// When.
    pub when: &'a str,
}

impl Named<'_> {
    fn said(&self, locale: Locale) -> String {
        let whom = self.customer.map_or(For::Nobody, For::Known).said(locale);
        format!(
            "{}{whom} ({}, {})",
            self.reference, self.resource, self.when
        )
    }
}

/// "Are you sure you want to move booking BK-7 for Ali (Chair 1, Friday 2026-11-27 15:00–15:30) to Saturday … (Late: a fee of RWF 1,500)?"
#[must_use]
pub(crate) fn ask_move(
    locale: Locale,
    booking: Named<'_>,
    to: &str,
    price: Option<Money>,
    fee: Option<Money>,
) -> String {
    let (named, reply) = (booking.said(locale), reply_yes(locale));
    let parts: Vec<String> = price_part(locale, price)
        .into_iter()
        .chain(fee_part(locale, fee))
        .collect();
    let more = in_brackets(&parts);
    match locale {
        Locale::En => {
            format!("Are you sure you want to move booking {named} to {to}{more}? {reply}")
        }
        Locale::Es => {
            format!("¿Seguro que quiere cambiar la reserva {named} a {to}{more}? {reply}")
        }
    }
}

/// "Moved BK-7 for Ali to Saturday 2026-11-28 10:00–10:30. Fee: RWF 1,500."
#[must_use]
pub(crate) fn moved(
    locale: Locale,
    reference: &str,
    customer: Option<&str>,
    to: &str,
    fee: Option<Money>,
) -> String {
    let whom = customer.map_or(For::Nobody, For::Known).said(locale);
    let fee = fee_said(locale, fee);
    match locale {
        Locale::En => format!("Moved {reference}{whom} to {to}.{fee}"),
        Locale::Es => format!("Reserva {reference}{whom} cambiada a {to}.{fee}"),
    }
}

fn fee_said(locale: Locale, fee: Option<Money>) -> String {
    match (locale, fee) {
        (_, None) => String::new(),
        (Locale::En, Some(fee)) => format!(" Fee: {fee}."),
        (Locale::Es, Some(fee)) => format!(" Cargo: {fee}."),
    }
}

/// "Are you sure you want to cancel booking BK-7 for Ali (Chair 1, Friday …)? It is in time, so it costs nothing. Reply 'yes' to confirm."
#[must_use]
pub(crate) fn ask_cancel(
    locale: Locale,
    booking: Named<'_>,
    terms: Terms,
    late: bool,
    fee: Option<Money>,
) -> String {
    let (named, reply) = (booking.said(locale), reply_yes(locale));
    let notice = length(locale, terms.notice.num_minutes());
    let cost = match (locale, fee, late, terms.notice > TimeDelta::zero()) {
        (Locale::En, Some(fee), _, _) => format!(
            " It begins in less than {notice}, so it costs {fee} ({}%).",
            percent(terms.fee_bp)
        ),
        (Locale::Es, Some(fee), _, _) => format!(
            " Empieza en menos de {notice}, así que cuesta {fee} ({}%).",
            percent(terms.fee_bp)
        ),
        (Locale::En, None, true, _) => {
            format!(" It begins in less than {notice}, but it costs nothing.")
        }
        (Locale::Es, None, true, _) => {
            format!(" Empieza en menos de {notice}, pero no cuesta nada.")
        }
        (Locale::En, None, false, true) => {
            format!(" It is more than {notice} before, so it costs nothing.")
        }
        (Locale::Es, None, false, true) => {
            format!(" Faltan más de {notice}, así que no cuesta nada.")
        }
        (_, None, false, false) => String::new(),
    };
    match locale {
        Locale::En => format!("Are you sure you want to cancel booking {named}?{cost} {reply}"),
        Locale::Es => format!("¿Seguro que quiere cancelar la reserva {named}?{cost} {reply}"),
    }
}

/// "Cancelled BK-7 for Ali: Chair 1 is free on Friday 2026-11-27 15:00–15:30."
#[must_use]
pub(crate) fn cancelled(locale: Locale, booking: Named<'_>, fee: Option<Money>) -> String {
    let Named {
        reference,
        customer,
        resource,
        when,
    } = booking;
    let whom = customer.map_or(For::Nobody, For::Known).said(locale);
    let fee = fee_said(locale, fee);
    match locale {
        Locale::En => format!("Cancelled {reference}{whom}: {resource} is free on {when}.{fee}"),
        Locale::Es => {
            format!("Reserva {reference}{whom} cancelada: {resource} queda libre el {when}.{fee}")
        }
    }
}

/// The word for where a booking stands.
#[must_use]
pub(crate) fn status(locale: Locale, status: BookingStatus) -> &'static str {
    match (locale, status) {
        (Locale::En, BookingStatus::Held) => "held",
        (Locale::En, BookingStatus::Confirmed) => "confirmed",
        (Locale::En, BookingStatus::Completed) => "over",
        (Locale::En, BookingStatus::NoShow) => "a no-show",
        (Locale::En, BookingStatus::Cancelled) => "cancelled",
        (Locale::En, BookingStatus::Expired) => "expired",
        (Locale::Es, BookingStatus::Held) => "retenida",
        (Locale::Es, BookingStatus::Confirmed) => "confirmada",
        (Locale::Es, BookingStatus::Completed) => "terminada",
        (Locale::Es, BookingStatus::NoShow) => "marcada como ausencia",
        (Locale::Es, BookingStatus::Cancelled) => "cancelada",
        (Locale::Es, BookingStatus::Expired) => "caducada",
    }
}

/// "Booking BK-7 is cancelled, so it cannot be changed."
#[must_use]
pub(crate) fn closed(
    locale: Locale,
    reference: &str,
    stands: BookingStatus,
    when: &str,
) -> ToolFailure {
    let word = status(locale, stands);
    let message = match (locale, stands) {
        (Locale::En, BookingStatus::Confirmed) => {
            format!("Booking {reference} has begun ({when}), so it cannot be changed.")
        }
        (Locale::Es, BookingStatus::Confirmed) => {
            format!("La reserva {reference} ya ha empezado ({when}), así que no se puede cambiar.")
        }
        (Locale::En, _) => format!("Booking {reference} is {word}, so it cannot be changed."),
        (Locale::Es, _) => {
            format!("La reserva {reference} está {word}, así que no se puede cambiar.")
        }
    };
    ToolFailure::new(
        FailureCode::BookingClosed,
        message,
        "Only a confirmed booking that has not begun can be moved or cancelled. Offer a new booking.",
    )
    .at("booking")
}

/// "There is no booking BK-99."
#[must_use]
pub(crate) fn unknown_booking(locale: Locale, asked: &str, field: &str) -> ToolFailure {
    let shown: String = asked.chars().filter(|c| !c.is_control()).take(40).collect();
    let message = match locale {
        Locale::En => format!("There is no booking {shown}."),
        Locale::Es => format!("No existe la reserva {shown}."),
    };
    ToolFailure::new(
        FailureCode::UnknownBooking,
        message,
        "Give the reference as BK-7; view_bookings lists them.",
    )
    .at(field)
}

/// "Ali has no coming booking."
#[must_use]
pub(crate) fn nothing_coming(locale: Locale, customer: Option<&str>) -> ToolFailure {
    let message = match (locale, customer) {
        (Locale::En, Some(name)) => format!("{name} has no coming booking."),
        (Locale::Es, Some(name)) => format!("{name} no tiene ninguna reserva pendiente."),
        (Locale::En, None) => "There is no coming booking.".to_owned(),
        (Locale::Es, None) => "No hay ninguna reserva pendiente.".to_owned(),
    };
    ToolFailure::new(
        FailureCode::UnknownBooking,
        message,
        "Ask which booking is meant, by its reference; view_bookings lists them.",
    )
    .at("booking")
}

/// "Which booking of Ali do you mean: BK-7 …, BK-9 …?"
#[must_use]
pub(crate) fn ambiguous_booking(
    locale: Locale,
    customer: Option<&str>,
    candidates: Vec<Candidate>,
) -> ToolFailure {
    let names = one_of(locale, &named(&candidates));
    let message = match (locale, customer) {
        (Locale::En, Some(name)) => format!("Which booking of {name} do you mean: {names}?"),
        (Locale::Es, Some(name)) => format!("¿Qué reserva de {name}: {names}?"),
        (Locale::En, None) => format!("Which booking do you mean: {names}?"),
        (Locale::Es, None) => format!("¿Qué reserva: {names}?"),
    };
    ToolFailure::new(
        FailureCode::AmbiguousBooking,
        message,
        "Ask the person, then repeat the call with the reference of one candidate as booking.",
    )
    .at("booking")
    .offering(candidates)
}

/// "BK-7 is not a booking of Ali."
#[must_use]
pub(crate) fn someone_elses(locale: Locale, reference: &str, customer: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("{reference} is not a booking of {customer}."),
        Locale::Es => format!("{reference} no es una reserva de {customer}."),
    };
    ToolFailure::new(
        FailureCode::UnknownBooking,
        message,
        "Ask which booking is meant; view_bookings with the customer lists theirs.",
    )
    .at("booking")
}

/// "BK-7 was changed by somebody else in this moment."
#[must_use]
pub(crate) fn changed_meanwhile(locale: Locale, reference: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("{reference} was changed by somebody else in this very moment."),
        Locale::Es => format!("Otra persona acaba de cambiar {reference}."),
    };
    ToolFailure::new(
        FailureCode::VersionConflict,
        message,
        "Look at it with view_bookings, then call again if the person still wants it.",
    )
    .at("booking")
}

/// "BK-7 is at that time already."
#[must_use]
pub(crate) fn nothing_to_move(locale: Locale, reference: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => format!("{reference} is there already. Say what shall change."),
        Locale::Es => format!("{reference} ya está ahí. Diga qué debe cambiar."),
    };
    refused(
        "time",
        message,
        "Give a date, time, minutes or resource that differs from the booking's.",
    )
}

/// "Chair 1 has bookings that a smaller capacity has no room for: BK-3 and BK-5."
#[must_use]
pub(crate) fn capacity_in_use(locale: Locale, name: &str, references: &[String]) -> ToolFailure {
    let which = all_of(locale, references);
    let message = match locale {
        Locale::En => {
            format!("{name} has bookings that a smaller capacity has no room for: {which}.")
        }
        Locale::Es => format!("{name} tiene reservas que no caben en menos capacidad: {which}."),
    };
    ToolFailure::new(
        FailureCode::NotBookable,
        message,
        "Move or cancel those bookings first, or keep the capacity.",
    )
    .at("capacity")
}

/// "monday, tuesday or a date": what hours are for is missing.
#[must_use]
pub(crate) fn hours_for_what(locale: Locale, field: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => "Hours are for days of the week or for one date: say which.",
        Locale::Es => "El horario es para días de la semana o para una fecha: indique cuál.",
    };
    refused(
        field,
        message.to_owned(),
        "Give either weekdays or date, with opens and closes, intervals, or closed.",
    )
}

/// "Those hours overlap or end before they begin."
#[must_use]
pub(crate) fn bad_hours(locale: Locale, field: &str) -> ToolFailure {
    let message = match locale {
        Locale::En => "Those hours are not clear: when does it open, and when does it close?",
        Locale::Es => "Ese horario no está claro: ¿cuándo abre y cuándo cierra?",
    };
    refused(
        field,
        message.to_owned(),
        "Give opens and closes, or 1 to 10 intervals that do not overlap; or closed true and no times.",
    )
}

/// "Chair 1: 30 min a slot, RWF 3,000, 1 at a time. It has no opening hours yet."
#[must_use]
pub(crate) fn resource_set(locale: Locale, resource: &Resource, is_new: bool) -> String {
    let name = &resource.name;
    let slot = length(locale, resource.slot_minutes.into());
    let price = resource.price.map(|p| format!(", {p}")).unwrap_or_default();
    let lanes = resource.lanes;
    let rule = rule(locale, resource.terms, resource.price)
        .map(|r| format!("; {r}"))
        .unwrap_or_default();
    let head = match (locale, is_new) {
        (Locale::En, true) => format!("Added {name}"),
        (Locale::En, false) => format!("Changed {name}"),
        (Locale::Es, true) => format!("Añadido {name}"),
        (Locale::Es, false) => format!("Cambiado {name}"),
    };
    let what = match locale {
        Locale::En => format!("slots of {slot}{price}, {lanes} at a time{rule}"),
        Locale::Es => format!("turnos de {slot}{price}, {lanes} a la vez{rule}"),
    };
    let rest = match (locale, resource.active, resource.hours.is_empty()) {
        (Locale::En, false, _) => " It cannot be booked now.",
        (Locale::Es, false, _) => " Ahora no se puede reservar.",
        (Locale::En, true, true) => " It has no opening hours yet.",
        (Locale::Es, true, true) => " Aún no tiene horario.",
        (_, true, false) => "",
    };
    format!("{head}: {what}.{rest}")
}

/// The hours of a day in words: "09:00–12:00, 13:00–17:00", or "closed".
fn hours_said(locale: Locale, openings: &[Opening]) -> String {
    let said: Vec<String> = openings
        .iter()
        .map(|o| interval(*o))
        .map(|i| format!("{}–{}", i.opens, i.closes))
        .collect();
    match (locale, said.is_empty()) {
        (Locale::En, true) => "closed".to_owned(),
        (Locale::Es, true) => "cerrado".to_owned(),
        (_, false) => said.join(", "),
    }
}

/// Which days hours were set for.
#[derive(Debug, Clone)]
pub(crate) enum Days {
    /// Of every week.
    Weekly(Vec<Weekday>),
    /// One date.
    Date(NaiveDate),
    /// One date has the hours of its weekday again.
    DateAgain(NaiveDate),
}

/// "Chair 1 on Monday, Tuesday and Friday: 09:00–17:00. 2 bookings are outside these hours: BK-3 and BK-5."
#[must_use]
pub(crate) fn hours_set(
    locale: Locale,
    name: &str,
    days: &Days,
    openings: &[Opening],
    outside: &[String],
) -> String {
    let hours = hours_said(locale, openings);
    let set = match (locale, days) {
        (Locale::En, Days::Weekly(days)) => {
            let names: Vec<String> = days
                .iter()
                .map(|d| weekday(locale, *d).to_owned())
                .collect();
            format!("{name} on {}: {hours}.", all_of(locale, &names))
        }
        (Locale::Es, Days::Weekly(days)) => {
            let names: Vec<String> = days
                .iter()
                .map(|d| weekday(locale, *d).to_owned())
                .collect();
            format!("{name}, {}: {hours}.", all_of(locale, &names))
        }
        (Locale::En, Days::Date(date)) => format!("{name} on {}: {hours}.", day(locale, *date)),
        (Locale::Es, Days::Date(date)) => format!("{name}, {}: {hours}.", day(locale, *date)),
        (Locale::En, Days::DateAgain(date)) => {
            format!(
                "{name} has its usual hours on {} again.",
                day(locale, *date)
            )
        }
        (Locale::Es, Days::DateAgain(date)) => {
            format!(
                "{name} vuelve a su horario habitual el {}.",
                day(locale, *date)
            )
        }
    };
    let which = some_of(locale, outside);
    match (locale, outside.len()) {
        (_, 0) => set,
        (Locale::En, _) => format!("{set} Coming bookings outside the hours: {which}."),
        (Locale::Es, _) => format!("{set} Reservas pendientes fuera del horario: {which}."),
    }
}

/// A free time in a list, where the resource and the day are said once.
#[derive(Debug, Clone)]
pub(crate) struct FreeTime {
    /// What is free.
    pub resource: String,
    /// The day.
    pub date: NaiveDate,
    /// The time.
    pub time: String,
}

/// "Free: Chair 1 on Friday 2026-11-27: 09:00, 09:30; …" or "Nothing is free."
#[must_use]
pub(crate) fn free_times(locale: Locale, times: &[FreeTime], more: bool) -> String {
    if times.is_empty() {
        return match locale {
            Locale::En => "Nothing is free then.".to_owned(),
            Locale::Es => "No hay nada libre entonces.".to_owned(),
        };
    }
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for time in times {
        let on = day(locale, time.date);
        let head = match locale {
            Locale::En => format!("{} on {on}", time.resource),
            Locale::Es => format!("{} el {on}", time.resource),
        };
        match groups.iter_mut().find(|(h, _)| *h == head) {
            Some((_, all)) => all.push(time.time.clone()),
            None => groups.push((head, vec![time.time.clone()])),
        }
    }
    let said: Vec<String> = groups
        .iter()
        .map(|(head, all)| format!("{head}: {}", some_of(locale, all)))
        .collect();
    let more = match (locale, more) {
        (_, false) => "",
        (Locale::En, true) => " There is more.",
        (Locale::Es, true) => " Hay más.",
    };
    match locale {
        Locale::En => format!("Free: {}.{more}", said.join("; ")),
        Locale::Es => format!("Libre: {}.{more}", said.join("; ")),
    }
}

/// "Chair 1 is free on Friday 2026-11-27 15:00–15:30."
#[must_use]
pub(crate) fn is_free(locale: Locale, names: &[String], when: &str) -> String {
    let which = all_of(locale, names);
    match (locale, names.len()) {
        (Locale::En, 1) => format!("{which} is free on {when}."),
        (Locale::En, _) => format!("{which} are free on {when}."),
        (Locale::Es, 1) => format!("{which} está libre el {when}."),
        (Locale::Es, _) => format!("{which} están libres el {when}."),
    }
}

/// "BK-7 Ali Chair 1 Friday 2026-11-27 15:00–15:30".
#[must_use]
pub(crate) fn in_list(booking: Named<'_>) -> String {
    let Named {
        reference,
        customer,
        resource,
        when,
    } = booking;
    match customer {
        Some(customer) => format!("{reference} {customer} {resource} {when}"),
        None => format!("{reference} {resource} {when}"),
    }
}

/// "2 bookings: BK-7 Ali Chair 1 Friday …, BK-9 …."
#[must_use]
pub(crate) fn listed(locale: Locale, named: &[String], page: Page) -> String {
    let names = some_of(locale, named);
    let count = named.len();
    let noun = match (locale, count) {
        (Locale::En, 1) => "1 booking".to_owned(),
        (Locale::En, n) => format!("{n} bookings"),
        (Locale::Es, 1) => "1 reserva".to_owned(),
        (Locale::Es, n) => format!("{n} reservas"),
    };
    match (locale, count, page) {
        (Locale::En, 0, Page::Later) => "No more bookings.".to_owned(),
        (Locale::Es, 0, Page::Later) => "No hay más reservas.".to_owned(),
        (Locale::En, 0, _) => "There are no bookings.".to_owned(),
        (Locale::Es, 0, _) => "No hay reservas.".to_owned(),
        (_, _, Page::Only) => format!("{noun}: {names}."),
        (Locale::En, _, Page::First) => format!("The first {noun}: {names}. There is more."),
        (Locale::Es, _, Page::First) => format!("Primeras {noun}: {names}. Hay más."),
        (Locale::En, _, Page::Later) => format!("{noun} more: {names}."),
        (Locale::Es, _, Page::Later) => format!("{noun} más: {names}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_said_with_its_day_and_where_it_is() {
        let madrid = Tz::Europe__Madrid;
        let span = |from: &str, minutes: i64| {
            let from: DateTime<Utc> = from.parse().unwrap();
            Span {
                from,
                until: from + TimeDelta::minutes(minutes),
            }
        };
        let friday = span("2026-11-27T14:00:00Z", 30);
        assert_eq!(
            when(Locale::En, friday, madrid, madrid),
            "Friday 2026-11-27 15:00–15:30"
        );
        assert_eq!(
            when(Locale::Es, friday, madrid, Tz::Africa__Kigali),
            "viernes 2026-11-27 15:00–15:30 (Europe/Madrid)"
        );
        assert_eq!(
            when(Locale::En, span("2026-10-25T00:30:00Z", 60), madrid, madrid),
            "Sunday 2026-10-25 02:30 (+02:00)–02:30 (+01:00)"
        );
    }

    #[test]
    fn lengths_are_said_as_people_say_them() {
        let said = |minutes| length(Locale::En, minutes);
        assert_eq!(said(45), "45 min");
        assert_eq!(said(90), "90 min");
        assert_eq!(said(120), "2 h");
        assert_eq!(said(1440), "1 day");
        assert_eq!(said(2880), "2 days");
        assert_eq!(said(1500), "25 h");
        assert_eq!(said(0), "0 min");
    }
}
