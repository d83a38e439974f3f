//! What can be booked, when, and by whom.

use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::money::Money;
use crate::quantity::Exact;
use crate::token::PrincipalRole;
use crate::tool::{CUSTOMER, Commit, ForCustomers, Read, Tool, Toolset, Write};

/// Where a booking stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BookingStatus {
    /// Kept free while a question about it is open.
    Held,
    /// Agreed to, and not over yet.
    Confirmed,
    /// Over.
    Completed,
    /// Over, and nobody came.
    NoShow,
    /// Given up; its time is free.
    Cancelled,
    /// A hold that was never agreed to; its time is free.
    Expired,
}

impl BookingStatus {
    /// The word stored and shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            BookingStatus::Held => "held",
            BookingStatus::Confirmed => "confirmed",
            BookingStatus::Completed => "completed",
            BookingStatus::NoShow => "no_show",
            BookingStatus::Cancelled => "cancelled",
            BookingStatus::Expired => "expired",
        }
    }

    /// Reads [`BookingStatus::word`] back.
    #[must_use]
    pub fn from_word(word: &str) -> Option<BookingStatus> {
        [
            BookingStatus::Held,
            BookingStatus::Confirmed,
            BookingStatus::Completed,
            BookingStatus::NoShow,
            BookingStatus::Cancelled,
            BookingStatus::Expired,
        ]
        .into_iter()
        .find(|s| s.word() == word)
    }
}

/// A day of the week.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Weekday {
    /// Monday.
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}

impl Weekday {
    /// Monday to Sunday.
    pub const ALL: [Weekday; 7] = [
        Weekday::Monday,
        Weekday::Tuesday,
        Weekday::Wednesday,
        Weekday::Thursday,
        Weekday::Friday,
        Weekday::Saturday,
        Weekday::Sunday,
    ];

    /// 1 for Monday to 7 for Sunday, as ISO 8601 counts.
    #[must_use]
    pub const fn number(self) -> i16 {
        self as i16 + 1
    }

    /// Reads [`Weekday::number`] back.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Weekday> {
        Weekday::ALL.into_iter().find(|day| day.number() == number)
    }
}

/// A stretch of a day on the wall clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpeningInterval {
    /// When it begins, as HH:MM on a 24-hour clock: "09:00".
    pub opens: String,
    /// When it ends, as HH:MM: "17:00". "24:00" is midnight; an earlier time than `opens` is on the next day.
    pub closes: String,
}

/// The hours of one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DayHours {
    /// The day of the week, for the hours of every week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekday: Option<Weekday>,
    /// The date, for the hours of that day alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<NaiveDate>,
    /// The intervals in which it is open; none when it is closed.
    pub intervals: Vec<OpeningInterval>,
}

/// Something that can be booked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceView {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What kind of thing it is; empty for none.
    pub kind: String,
    /// How many bookings it takes at the same time.
    pub capacity: u16,
    /// Length of one slot, minutes.
    pub slot_minutes: u32,
    /// Minutes kept free before every booking.
    pub buffer_before_minutes: u32,
    /// Minutes kept free after every booking.
    pub buffer_after_minutes: u32,
    /// How long before its start a booking can still be made, minutes.
    pub min_notice_minutes: u32,
    /// How many days ahead it can be booked.
    pub max_ahead_days: u32,
    /// How long before its start a booking can be cancelled or moved without a fee, minutes.
    pub cancel_notice_minutes: u32,
    /// What a later cancellation or move costs, percent of the price.
    pub cancel_fee_percent: Exact,
    /// The IANA time zone of its hours.
    pub time_zone: String,
    /// What one slot costs; absent where no price is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
    /// Whether it can be booked.
    pub active: bool,
    /// Other names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Its hours: first those of every week, Monday first, then dates with hours of their own that are not past, at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<DayHours>,
    /// Grows with every change.
    pub version: i64,
}

/// A booking as it is shown. Days and times are those of the resource's time zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BookingView {
    /// The booking's id.
    pub booking_id: Uuid,
    /// Its reference, such as "BK-7".
    pub reference: String,
    /// Where it stands.
    pub status: BookingStatus,
    /// What is booked.
    pub resource: String,
    /// The customer's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// The number to call about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// Day and time in words: "Friday 2026-11-27 15:00–15:30".
    pub when: String,
    /// The day it begins.
    pub date: NaiveDate,
    /// The time it begins, HH:MM; with its offset where the clock shows that time twice on the day.
    pub time: String,
    /// How long it takes, minutes.
    pub minutes: u32,
    /// When it begins.
    pub starts_at: DateTime<Utc>,
    /// When it ends.
    pub ends_at: DateTime<Utc>,
    /// The IANA time zone of `when`, `date` and `time`.
    pub time_zone: String,
    /// What it costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
    /// What cancelling or moving it late has cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_fee: Option<Money>,
    /// Why it was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_reason: Option<String>,
    /// What is to be known about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// Where its calendar file is.
    pub calendar_url: String,
}

/// `booking_set_resource`.
#[derive(Debug)]
pub struct SetResource;

/// Something to be booked, new or changed. What is left out stays as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetResourceInput {
    /// What it is called: "Chair 1". 1 to 80 characters. A name that is there already is changed, any other is new.
    pub name: String,
    /// What kind of thing it is, to find it by: "barber", "table". Up to 40 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// How many bookings it takes at the same time: 1 to 200; 1 for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u16>,
    /// Length of one slot, minutes: 5 to 1440; 30 for a new one. Free times are offered in steps of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot_minutes: Option<u32>,
    /// Minutes kept free before every booking: 0 to 1440; 0 for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buffer_before_minutes: Option<u32>,
    /// Minutes kept free after every booking, for cleaning up: 0 to 1440; 0 for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buffer_after_minutes: Option<u32>,
    /// How long before its start a booking can still be made, minutes: 0 to 43200; 0 for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_notice_minutes: Option<u32>,
    /// How many days ahead it can be booked: 1 to 730; 90 for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ahead_days: Option<u32>,
    /// How long before its start a booking can be cancelled or moved without a fee, minutes: 0 to 43200; 0 for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_notice_minutes: Option<u32>,
    /// What a later cancellation or move costs, percent of the price: "50". 0 to 100, at most two decimals; 0 for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_fee_percent: Option<Exact>,
    /// The IANA time zone of its hours: "Africa/Kigali". The shop's for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// What one slot costs, in the shop's currency: "3000". A longer booking costs in proportion. 0 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Exact>,
    /// Whether it can be booked; bookings that are there stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// All the other names it is asked for by, in any language: ["silla", "barber"]. At most 20; they replace those it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aliases: Option<Vec<String>>,
}

/// A resource and its sentence.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ResourceOutput {
    /// One sentence for the person.
    pub summary: String,
    /// The resource.
    pub resource: ResourceView,
    /// References of coming bookings that lie outside the hours as they are now, soonest first, at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outside_hours: Vec<String>,
}

impl Tool for SetResource {
    const NAME: &'static str = "booking_set_resource";
    const TITLE: &'static str = "Set up what can be booked";
    const DESCRIPTION: &'static str = "Creates or changes something customers can book: a chair, a table, a room, a person's time. Says how \
        many at once, how long a slot is, what it costs, how much notice is needed and what late cancelling costs. A new resource can be \
        booked once booking_set_hours has given it hours. Example: \"Customers can book the barber, half an hour, 3000\".";
    const TOOLSET: Toolset = Toolset::Booking;
    const IDEMPOTENT: bool = true;
    const LEAST_ROLE: PrincipalRole = PrincipalRole::Owner;
    type Kind = Write;
    type Input = SetResourceInput;
    type Output = ResourceOutput;
}

/// `booking_set_hours`.
#[derive(Debug)]
pub struct SetHours;

/// When something can be booked: on days of every week, or on one date.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetHoursInput {
    /// Its name: "Chair 1".
    pub resource: String,
    /// The days of every week: ["monday", "tuesday"]. Their hours are replaced. Not together with date; one of the two is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekdays: Option<Vec<Weekday>>,
    /// One day with hours of its own, as YYYY-MM-DD: a holiday, a late evening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<NaiveDate>,
    /// When it opens, HH:MM: "09:00". With closes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens: Option<String>,
    /// When it closes, HH:MM: "17:00". "24:00" is midnight; an earlier time than opens is on the next day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes: Option<String>,
    /// Several intervals a day, where there is a break: [{"opens": "09:00", "closes": "12:00"}, {"opens": "13:00", "closes": "17:00"}].
    /// 1 to 10; instead of opens and closes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intervals: Option<Vec<OpeningInterval>>,
    /// true: closed on these days. false with a date and no times: that date has the hours of its weekday again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<bool>,
}

impl Tool for SetHours {
    const NAME: &'static str = "booking_set_hours";
    const TITLE: &'static str = "Set opening hours";
    const DESCRIPTION: &'static str = "Sets when something can be booked: the hours of weekdays, or of one date (a holiday, a late \
        evening). \"The barber works Monday to Friday 9 to 17\" is weekdays with opens 09:00 and closes 17:00. Bookings that are there \
        stay; those now outside the hours are named.";
    const TOOLSET: Toolset = Toolset::Booking;
    const IDEMPOTENT: bool = true;
    const LEAST_ROLE: PrincipalRole = PrincipalRole::Owner;
    type Kind = Write;
    type Input = SetHoursInput;
    type Output = ResourceOutput;
}

/// `check_availability`.
#[derive(Debug)]
pub struct CheckAvailability;

/// What is free, and when.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckAvailabilityInput {
    /// Its name: "Chair 1". Everything that can be booked when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// One day, as YYYY-MM-DD. Today when neither it nor from and to are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<NaiveDate>,
    /// The start of a window: a day "2026-11-27", a time of `date` "13:00", or both "2026-11-27 13:00". At most 31 days before to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The end of the window, written like from; a day is included whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Is it free at this time, HH:MM: "15:00"? If not, the nearest free times are answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// For how long, minutes: 5 to 1440. One slot when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<u32>,
    /// How many times at most: 1 to 100, 20 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A time that can be booked. Day and time are those of the resource's time zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FreeSlot {
    /// What can be booked.
    pub resource: String,
    /// Day and time in words: "Friday 2026-11-27 15:00–15:30".
    pub when: String,
    /// The day, for `create_booking`.
    pub date: NaiveDate,
    /// The time, for `create_booking`.
    pub time: String,
    /// How long, minutes.
    pub minutes: u32,
    /// When it begins.
    pub starts_at: DateTime<Utc>,
    /// How many bookings it still takes.
    pub free: u16,
    /// What it costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
}

/// What is free.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CheckAvailabilityOutput {
    /// One sentence for the person.
    pub summary: String,
    /// Whether the time asked about is free; absent when no time was asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_free: Option<bool>,
    /// Free times, soonest first; the nearest ones where the time asked about is not free.
    pub slots: Vec<FreeSlot>,
    /// There are more than these: ask about a shorter window.
    pub more: bool,
}

impl Tool for CheckAvailability {
    const NAME: &'static str = "check_availability";
    const TITLE: &'static str = "Check what is free";
    const DESCRIPTION: &'static str = "Says which times can be booked, on a day or in a window, for one resource or all. \"Is the chair free \
        tomorrow at 3?\" is date and time; \"What is free on Saturday afternoon?\" is date with from 12:00 and to 18:00.";
    const TOOLSET: Toolset = Toolset::Booking;
    const IDEMPOTENT: bool = true;
    const LEAST_ROLE: PrincipalRole = PrincipalRole::Customer;
    type Kind = Read;
    type Input = CheckAvailabilityInput;
    type Output = CheckAvailabilityOutput;
}

/// `create_booking`.
#[derive(Debug)]
pub struct CreateBooking;

/// A new booking.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateBookingInput {
    /// What is booked: "Chair 1". May be left out where there is one thing to book, or one that is free then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The customer's name: "Ali". Somebody unknown is created with the booking. May be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// The number to call about it: "+250788123456". The customer who has it, where no customer is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The day, as YYYY-MM-DD.
    pub date: NaiveDate,
    /// The time it begins, HH:MM on a 24-hour clock: "15:00".
    pub time: String,
    /// How long, minutes: 5 to 1440. One slot when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<u32>,
    /// What is to be known about it: "by the window". Up to 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

/// A booking and its sentence.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct BookingOutput {
    /// One sentence for the person.
    pub summary: String,
    /// The booking's id.
    pub booking_id: Uuid,
    /// Its reference.
    pub reference: String,
    /// Where its calendar file is.
    pub calendar_url: String,
    /// The booking.
    pub booking: BookingView,
}

impl Tool for CreateBooking {
    const NAME: &'static str = "create_booking";
    const TITLE: &'static str = "Make a booking";
    const DESCRIPTION: &'static str = "Books a time. \"Book the 3pm slot tomorrow for Ali\" is date, time 15:00 and customer Ali. The time is \
        kept free while a person is asked, and booked once they agree. A time that is taken is refused with the nearest free ones as \
        candidates. Days and times are those of the resource's time zone.";
    const TOOLSET: Toolset = Toolset::Booking;
    const IDEMPOTENT: bool = false;
    const LEAST_ROLE: PrincipalRole = PrincipalRole::Customer;
    const FOR_CUSTOMERS: ForCustomers = ForCustomers {
        without: &[CUSTOMER, "phone"],
        ..ForCustomers::reading(
            "Books a time for you. \"Book the 3pm slot tomorrow\" is date and time 15:00. The time is kept free while you are asked, and \
             booked once you agree. A time that is taken is refused with the nearest free ones as candidates. Days and times are those of \
             the resource's time zone.",
        )
    };
    type Kind = Commit;
    type Input = CreateBookingInput;
    type Output = BookingOutput;
}

/// `reschedule_booking`.
#[derive(Debug)]
pub struct RescheduleBooking;

/// Which booking, and where it goes. What is left out stays as it is; something has to change.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RescheduleBookingInput {
    /// Its reference ("BK-7" or "7") or id. May be left out where customer has one coming booking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booking: Option<String>,
    /// The customer whose coming booking it is: "Ali".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// What is booked instead: "Chair 2".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The new day, as YYYY-MM-DD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<NaiveDate>,
    /// The new time, HH:MM: "10:00".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The new length, minutes: 5 to 1440.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<u32>,
}

impl Tool for RescheduleBooking {
    const NAME: &'static str = "reschedule_booking";
    const TITLE: &'static str = "Move a booking";
    const DESCRIPTION: &'static str = "Moves a booking to another time, length or resource; it keeps its reference. \"Move Ali's booking to \
        Friday at 10\" is customer Ali with date and time. The new time is kept free while a person is asked; a fee for moving late is \
        shown.";
    const TOOLSET: Toolset = Toolset::Booking;
    const IDEMPOTENT: bool = true;
    const DESTRUCTIVE: bool = true;
    const LEAST_ROLE: PrincipalRole = PrincipalRole::Customer;
    const FOR_CUSTOMERS: ForCustomers = ForCustomers {
        arguments: &[(
            "booking",
            "Its reference (\"BK-7\" or \"7\") or id. May be left out where you have one coming booking.",
        )],
        ..ForCustomers::reading(
            "Moves a booking of yours to another time, length or resource; it keeps its reference. \"Move my booking to Friday at 10\" is \
             date and time. The new time is kept free while you are asked; a fee for moving late is shown.",
        )
    };
    type Kind = Commit;
    type Input = RescheduleBookingInput;
    type Output = BookingOutput;
}

/// `cancel_booking`.
#[derive(Debug)]
pub struct CancelBooking;

/// Which booking, and why.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelBookingInput {
    /// Its reference ("BK-7" or "7") or id. May be left out where customer has one coming booking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booking: Option<String>,
    /// The customer whose coming booking it is: "Ali".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// Why, for the record: "ill". Up to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Tool for CancelBooking {
    const NAME: &'static str = "cancel_booking";
    const TITLE: &'static str = "Cancel a booking";
    const DESCRIPTION: &'static str = "Cancels a booking that has not begun; its time is free again. \"Cancel my booking BK-7\". A person is \
        asked first and shown whether it is in time and what a late cancellation costs.";
    const TOOLSET: Toolset = Toolset::Booking;
    const IDEMPOTENT: bool = true;
    const DESTRUCTIVE: bool = true;
    const LEAST_ROLE: PrincipalRole = PrincipalRole::Customer;
    const FOR_CUSTOMERS: ForCustomers = ForCustomers {
        arguments: &[(
            "booking",
            "Its reference (\"BK-7\" or \"7\") or id. May be left out where you have one coming booking.",
        )],
        ..ForCustomers::reading(
            "Cancels a booking of yours that has not begun; its time is free again. \"Cancel my booking BK-7\". You are asked first and \
             shown whether it is in time and what a late cancellation costs.",
        )
    };
    type Kind = Commit;
    type Input = CancelBookingInput;
    type Output = BookingOutput;
}

/// `view_bookings`.
#[derive(Debug)]
pub struct ViewBookings;

/// Which bookings. Coming ones when nothing is given.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ViewBookingsInput {
    /// Only this customer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// Only of this resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Beginning on or after this day of the shop, as YYYY-MM-DD. Without from and to: those that are not over yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<NaiveDate>,
    /// Beginning on or before this day of the shop, as YYYY-MM-DD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<NaiveDate>,
    /// Only in this status. Without it: all but cancelled bookings and holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<BookingStatus>,
    /// How many at most: 1 to 100, 20 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// One page of bookings, soonest first.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ViewBookingsOutput {
    /// One sentence for the person.
    pub summary: String,
    /// The bookings.
    pub bookings: Vec<BookingView>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl Tool for ViewBookings {
    const NAME: &'static str = "view_bookings";
    const TITLE: &'static str = "List bookings";
    const DESCRIPTION: &'static str = "Lists bookings, soonest first, by customer, resource, period and status. \"Show today's bookings\" is \
        from and to today; \"What has Ali booked?\" is customer Ali. Shows one booking's details, too: its reference, time, price, \
        calendar file.";
    const TOOLSET: Toolset = Toolset::Booking;
    const IDEMPOTENT: bool = true;
    const LEAST_ROLE: PrincipalRole = PrincipalRole::Customer;
    const FOR_CUSTOMERS: ForCustomers = ForCustomers::reading(
        "Lists your bookings, soonest first, by resource, period and status. \"What have I booked?\" Shows one booking's details, too: \
         its reference, time, price, calendar file.",
    );
    type Kind = Read;
    type Input = ViewBookingsInput;
    type Output = ViewBookingsOutput;
}
