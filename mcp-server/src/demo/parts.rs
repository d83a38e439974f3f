//! What the demo shop is made of. Pure data. The name of a part is never changed: it is how the demo knows that it has been made.

use chrono::{Datelike as _, NaiveDate, TimeDelta, Weekday};
use contracts::tool::Tool;
use contracts::tools::billing::{CreateBill, VoidBill};
use contracts::tools::booking::{CreateBooking, SetHours, SetResource};
use contracts::tools::inventory::{AddItem, UpdateItem};
use contracts::tools::payment::{CollectPayment, TopUpWallet};
use contracts::tools::profile::{CreateCustomer, UpdatePreferences};
use contracts::tools::support::{CreateTicket, UpdateTicket};
use serde_json::{Map, Value, json};

use crate::error::CallError;
use crate::places::NewPlace;

/// How long ago a part is made to have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Age(pub TimeDelta);

/// One thing of the demo.
pub(super) struct Part {
    /// What it is called among the demo's parts.
    pub name: String,
    /// When it happened.
    pub age: Age,
    /// How it is made.
    pub work: Work,
}

/// How a part is made.
pub(super) enum Work {
    /// By a tool.
    Call(Call),
    /// As the owner does on the command line.
    Place(NewPlace),
}

/// A call of a tool.
pub(super) struct Call {
    pub tool: &'static str,
    /// A text that begins with @ names another part: its id is put there.
    pub arguments: Map<String, Value>,
    /// What the call makes; nothing when it only changes something.
    pub kind: Option<Kind>,
}

/// What a part is, once it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Item,
    Customer,
    Bill,
    Ticket,
    Resource,
    Booking,
}

impl Part {
    /// The same, happening now.
    pub(super) fn now(self) -> Part {
        Part {
            age: Age(TimeDelta::zero()),
            ..self
        }
    }
}

impl Kind {
    /// What the audit log calls it, read from the tool's result.
    pub(super) fn subject(self, output: &Value) -> Result<String, CallError> {
        let (word, place) = match self {
            Kind::Item => ("item", "/item/id"),
            Kind::Customer => ("customer", "/customer/customer_id"),
            Kind::Bill => ("bill", "/bill_id"),
            Kind::Ticket => ("ticket", "/ticket/ticket_id"),
            Kind::Resource => ("resource", "/resource/id"),
            Kind::Booking => ("booking", "/booking_id"),
        };
        output
            .pointer(place)
            .and_then(Value::as_str)
            .map(|id| format!("{word}:{id}"))
            .ok_or_else(|| CallError::Broken(format!("a demo {word} has no id")))
    }
}

fn days_ago(days: i64) -> Age {
    Age(TimeDelta::days(days))
}

fn hours_ago(hours: i64) -> Age {
    Age(TimeDelta::hours(hours))
}

/// When the demo shop opened.
const OPENED_DAYS_AGO: i64 = 14;

fn called<T: Tool>(name: String, age: Age, kind: Option<Kind>, arguments: Value) -> Part {
    let arguments = match arguments {
        Value::Object(arguments) => arguments,
        _ => Map::new(),
    };
    Part {
        name,
        age,
        work: Work::Call(Call {
            tool: T::NAME,
            arguments,
            kind,
        }),
    }
}

fn item(arguments: Value) -> Part {
    let name = arguments["name"].as_str().unwrap_or_default();
    let part = format!("item {name}");
    called::<AddItem>(part, days_ago(OPENED_DAYS_AGO), Some(Kind::Item), arguments)
}

fn customer(arguments: Value) -> Part {
    let name = arguments["name"].as_str().unwrap_or_default();
    let part = format!("customer {name}");
    let opened = days_ago(OPENED_DAYS_AGO);
    called::<CreateCustomer>(part, opened, Some(Kind::Customer), arguments)
}

/// What scenes start from. No Sugar: the tour adds it.
pub(super) fn basics() -> Vec<Part> {
    let goods = [
        json!({"name": "Flour", "category": "grocery", "unit": "kg", "unit_price": "800", "quantity": "50", "low_stock_level": "10",
               "aliases": [{"name": "harina", "locale": "es"}], "units": [{"unit": "bag", "quantity": "25", "of": "kg"}]}),
        json!({"name": "Rice", "category": "grocery", "unit": "kg", "unit_price": "1200", "quantity": "40", "low_stock_level": "10",
               "aliases": [{"name": "arroz", "locale": "es"}], "units": [{"unit": "bag", "quantity": "25", "of": "kg"}]}),
        json!({"name": "Milk", "category": "dairy", "unit": "each", "unit_price": "900", "quantity": "24", "low_stock_level": "6",
               "aliases": [{"name": "leche", "locale": "es"}],
               "units": [{"unit": "bottle", "quantity": "1", "of": "each"}, {"unit": "botella", "quantity": "1", "of": "each"}]}),
        json!({"name": "Eggs", "category": "grocery", "unit": "each", "unit_price": "150", "quantity": "90", "low_stock_level": "30",
               "aliases": [{"name": "huevos", "locale": "es"}], "units": [{"unit": "tray", "quantity": "30", "of": "each"}]}),
        json!({"name": "Shampoo", "category": "beauty", "unit": "each", "unit_price": "250", "quantity": "12", "low_stock_level": "5",
               "aliases": [{"name": "champú", "locale": "es"}]}),
        json!({"name": "Soap", "category": "beauty", "unit": "each", "unit_price": "300", "quantity": "4", "low_stock_level": "5",
               "aliases": [{"name": "jabón", "locale": "es"}]}),
    ];
    let people = [json!({"name": "Ali"}), json!({"name": "Aline"})];
    let goods = goods.into_iter().map(item);
    goods.chain(people.into_iter().map(customer)).collect()
}

/// The rest of the goods, the people, the branches and what people have to look at.
pub(super) fn more() -> Vec<Part> {
    let mut parts: Vec<Part> = goods().into_iter().map(item).collect();
    parts.extend(people());
    parts.extend(branches());
    parts.extend(tickets());
    parts.extend(resources());
    parts
}

fn goods() -> [Value; 12] {
    [
        json!({"name": "Salt", "category": "grocery", "unit": "kg", "unit_price": "500", "quantity": "18.5", "low_stock_level": "5",
               "aliases": [{"name": "sal", "locale": "es"}]}),
        json!({"name": "Beans", "category": "grocery", "unit": "kg", "unit_price": "1100", "quantity": "2", "quantity_unit": "bag",
               "low_stock_level": "20", "aliases": [{"name": "frijoles", "locale": "es"}, {"name": "judías", "locale": "es"}],
               "units": [{"unit": "bag", "quantity": "50", "of": "kg"}, {"unit": "saco", "quantity": "50", "of": "kg"}]}),
        json!({"name": "Coffee", "category": "drinks", "unit": "g", "unit_price": "14", "quantity": "6", "quantity_unit": "kg",
               "low_stock_level": "1000", "aliases": [{"name": "café", "locale": "es"}],
               "units": [{"unit": "packet", "quantity": "250", "of": "g"}, {"unit": "paquete", "quantity": "250", "of": "g"}]}),
        json!({"name": "Cooking oil", "category": "grocery", "unit": "l", "unit_price": "2800", "quantity": "40", "low_stock_level": "10",
               "aliases": [{"name": "aceite", "locale": "es"}], "units": [{"unit": "jerrycan", "quantity": "20", "of": "l"}, {"unit": "bidón", "quantity": "20", "of": "l"}]}),
        json!({"name": "Vanilla", "category": "grocery", "unit": "ml", "unit_price": "37.5", "quantity": "750", "low_stock_level": "100",
               "aliases": [{"name": "vainilla", "locale": "es"}], "units": [{"unit": "vial", "quantity": "50", "of": "ml"}]}),
        json!({"name": "Water", "category": "drinks", "unit": "each", "unit_price": "400", "quantity": "8", "quantity_unit": "dozen",
               "low_stock_level": "24", "aliases": [{"name": "agua", "locale": "es"}], "units": [{"unit": "case", "quantity": "1", "of": "dozen"}, {"unit": "caja", "quantity": "1", "of": "dozen"}]}),
        json!({"name": "Tomatoes", "category": "vegetables", "unit": "kg", "unit_price": "700", "quantity": "22", "low_stock_level": "5",
               "aliases": [{"name": "tomates", "locale": "es"}], "units": [{"unit": "crate", "quantity": "15", "of": "kg"}]}),
        json!({"name": "Bananas", "category": "fruit", "unit": "kg", "unit_price": "450", "quantity": "30", "low_stock_level": "8",
               "aliases": [{"name": "plátanos", "locale": "es"}]}),
        json!({"name": "Avocado", "category": "fruit", "unit": "each", "unit_price": "200", "quantity": "5", "quantity_unit": "tray",
               "low_stock_level": "24", "aliases": [{"name": "aguacate", "locale": "es"}],
               "units": [{"unit": "tray", "quantity": "24", "of": "each"}, {"unit": "bandeja", "quantity": "24", "of": "each"}]}),
        json!({"name": "Bread", "category": "bakery", "unit": "each", "unit_price": "1000", "quantity": "9", "low_stock_level": "10",
               "aliases": [{"name": "pan", "locale": "es"}]}),
        json!({"name": "Candles", "category": "household", "unit": "each", "unit_price": "100", "quantity": "3", "low_stock_level": "12",
               "aliases": [{"name": "velas", "locale": "es"}], "units": [{"unit": "bundle", "quantity": "6", "of": "each"}]}),
        json!({"name": "Toothpaste", "category": "beauty", "unit": "each", "unit_price": "1500", "quantity": "1", "quantity_unit": "dozen",
               "low_stock_level": "4", "aliases": [{"name": "pasta de dientes", "locale": "es"}]}),
    ]
}

fn people() -> Vec<Part> {
    let mut parts: Vec<Part> = [
        json!({"name": "Beatriz Uwase", "phone": "+250788300111", "email": "beatriz@example.com", "language": "es"}),
        json!({"name": "Jean Bosco", "phone": "+250722400222", "notes": "Buys for the school; pays at the end of the month."}),
        json!({"name": "Grace Mukamana", "phone": "+250733500333", "email": "grace@example.com", "language": "rw"}),
    ]
    .into_iter()
    .map(customer)
    .collect();
    for (name, preferences) in [
        (
            "Ali",
            json!({"phone": "+250788123456", "contact": "phone", "favourites": {"add": ["Rice", "Milk"]}}),
        ),
        (
            "Aline",
            json!({"phone": "+250788654321", "email": "aline@example.com", "language": "es", "contact": "email"}),
        ),
        (
            "Beatriz Uwase",
            json!({"favourites": {"add": ["Coffee", "Bread"]}}),
        ),
    ] {
        let mut arguments = preferences;
        arguments["customer"] = json!(format!("@customer {name}"));
        let part = format!("preferences {name}");
        parts.push(called::<UpdatePreferences>(
            part,
            days_ago(OPENED_DAYS_AGO - 1),
            None,
            arguments,
        ));
    }
    parts
}

fn branches() -> [Part; 2] {
    [
        (
            "Kimironko",
            "marché",
            "KG 11 Avenue, Kigali",
            (-1.9497, 30.1265),
            "mon-sat 07:00-20:00, sun 09:00-18:00",
        ),
        (
            "Nyamirambo",
            "biryogo",
            "KN 2 Street, Kigali",
            (-1.9762, 30.0441),
            "mon-fri 08:00-18:00, sat 08:00-14:00",
        ),
    ]
    .map(
        |(name, alias, address, (latitude, longitude), hours)| Part {
            name: format!("branch {name}"),
            age: days_ago(OPENED_DAYS_AGO),
            work: Work::Place(NewPlace {
                name: name.to_owned(),
                aliases: vec![alias.to_owned()],
                address: Some(address.to_owned()),
                latitude,
                longitude,
                hours: Some(hours.to_owned()),
            }),
        },
    )
}

fn tickets() -> Vec<Part> {
    let opened = |part: &str, age, arguments| {
        called::<CreateTicket>(format!("ticket {part}"), age, Some(Kind::Ticket), arguments)
    };
    vec![
        opened(
            "milk",
            days_ago(3),
            json!({"subject": "Milk was sour", "body": "Bought on Monday, sour on Tuesday. Wants two bottles instead.",
                   "customer": "@customer Grace Mukamana", "priority": "high"}),
        ),
        opened(
            "delivery",
            days_ago(6),
            json!({"subject": "Asks for delivery on Saturdays", "customer": "@customer Jean Bosco", "priority": "low"}),
        ),
        called::<UpdateTicket>(
            "note delivery".to_owned(),
            days_ago(2),
            None,
            json!({"ticket": "@ticket delivery", "note": "Nyamirambo could deliver until noon. Asked the driver.", "status": "waiting", "assignee": "Aline"}),
        ),
    ]
}

fn resources() -> Vec<Part> {
    let workdays = json!([
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday"
    ]);
    let mut daily = workdays.clone();
    if let Value::Array(days) = &mut daily {
        days.push(json!("sunday"));
    }
    let opened = days_ago(OPENED_DAYS_AGO);
    let resource = |arguments: Value| {
        let part = format!(
            "resource {}",
            arguments["name"].as_str().unwrap_or_default()
        );
        called::<SetResource>(part, opened, Some(Kind::Resource), arguments)
    };
    let hours = |name: &str, weekdays: &Value, opens: &str, closes: &str| {
        let arguments =
            json!({"resource": name, "weekdays": weekdays, "opens": opens, "closes": closes});
        called::<SetHours>(format!("hours {name}"), opened, None, arguments)
    };
    vec![
        resource(
            json!({"name": "Chair 1", "kind": "hairdresser", "slot_minutes": 30, "price": "3000", "buffer_after_minutes": 5,
                        "cancel_notice_minutes": 120, "cancel_fee_percent": "50", "active": true,
                        "aliases": ["haircut", "silla 1", "corte de pelo"]}),
        ),
        hours("Chair 1", &workdays, "09:00", "18:00"),
        resource(
            json!({"name": "Table", "kind": "table", "capacity": 3, "slot_minutes": 60, "active": true, "aliases": ["mesa"]}),
        ),
        hours("Table", &daily, "08:00", "22:00"),
    ]
}

/// Bookings around the shop's day. Days on which the chair rests are passed over.
fn bookings(today: NaiveDate) -> Vec<Part> {
    let day = |days: i64| {
        today
            .checked_add_signed(TimeDelta::days(days))
            .unwrap_or(today)
    };
    let workday = |days: i64| match day(days).weekday() {
        Weekday::Sun => day(days + 1),
        _ => day(days),
    };
    let booking = |part: &str, age, arguments| {
        called::<CreateBooking>(
            format!("booking {part}"),
            age,
            Some(Kind::Booking),
            arguments,
        )
    };
    vec![
        booking(
            "past",
            days_ago(5),
            json!({"resource": "Table", "customer": "@customer Grace Mukamana", "date": day(-3), "time": "19:00", "minutes": 120}),
        ),
        booking(
            "haircut",
            hours_ago(30),
            json!({"resource": "Chair 1", "customer": "@customer Ali", "date": workday(1), "time": "10:00"}),
        ),
        booking(
            "table",
            hours_ago(26),
            json!({"resource": "Table", "customer": "@customer Beatriz Uwase", "date": day(2), "time": "19:00", "minutes": 120, "notes": "By the window"}),
        ),
        booking(
            "later",
            hours_ago(4),
            json!({"resource": "Chair 1", "customer": "@customer Aline", "date": workday(3), "time": "14:30"}),
        ),
    ]
}

/// Money that came and went besides the bills.
fn money() -> Vec<Part> {
    vec![
        called::<TopUpWallet>(
            "wallet Ali".to_owned(),
            days_ago(8),
            None,
            json!({"customer": "@customer Ali", "amount": "10000", "method": "cash"}),
        ),
        called::<CollectPayment>(
            "paid school".to_owned(),
            days_ago(6),
            None,
            json!({"bill": "@bill school", "method": "cash"}),
        ),
        called::<CollectPayment>(
            "paid wallet".to_owned(),
            hours_ago(5),
            None,
            json!({"bill": "@bill breakfast", "method": "wallet"}),
        ),
    ]
}

/// What has happened since the shop opened. Only in a shop that had no bills before.
pub(super) fn history(today: NaiveDate) -> Vec<Part> {
    let mut parts = sales();
    parts.extend(money());
    parts.extend(bookings(today));
    parts
}

fn sales() -> Vec<Part> {
    let bill = |part: &str, age, arguments| {
        called::<CreateBill>(format!("bill {part}"), age, Some(Kind::Bill), arguments)
    };
    let cash = json!({"method": "cash"});
    vec![
        bill(
            "rice",
            days_ago(9),
            json!({"customer": "@customer Ali", "lines": [{"item": "Rice", "quantity": "5"}, {"item": "Cooking oil", "quantity": "1"}], "payment": cash}),
        ),
        bill(
            "school",
            days_ago(7),
            json!({"customer": "@customer Jean Bosco", "lines": [{"item": "Beans", "quantity": "0.5", "unit": "bag"}, {"item": "Salt", "quantity": "1500", "unit": "g"}]}),
        ),
        bill(
            "counter",
            days_ago(5),
            json!({"lines": [{"item": "Bread", "quantity": "2"}, {"item": "Avocado", "quantity": "6"}, {"item": "Coffee", "quantity": "1", "unit": "packet"}], "payment": cash}),
        ),
        bill(
            "mistake",
            days_ago(4),
            json!({"customer": "@customer Aline", "lines": [{"item": "Candles", "quantity": "2"}]}),
        ),
        called::<VoidBill>(
            "void mistake".to_owned(),
            Age(TimeDelta::hours(95)),
            None,
            json!({"bill": "@bill mistake", "reason": "Entered twice"}),
        ),
        called::<UpdateItem>(
            "purchase tomatoes".to_owned(),
            days_ago(3),
            None,
            json!({"item": "Tomatoes", "adjust": {"delta": "1", "unit": "crate", "reason": "purchase"}}),
        ),
        bill(
            "dozen",
            days_ago(2),
            json!({"customer": "@customer Beatriz Uwase", "lines": [{"item": "Water", "quantity": "2", "unit": "dozen"}, {"item": "Vanilla", "quantity": "1", "unit": "vial"}], "discount": "475", "payment": cash}),
        ),
        bill(
            "owed",
            hours_ago(20),
            json!({"customer": "@customer Grace Mukamana", "lines": [{"item": "Tomatoes", "quantity": "2.5"}, {"item": "Bananas", "quantity": "3"}]}),
        ),
        bill(
            "breakfast",
            hours_ago(6),
            json!({"customer": "@customer Ali", "lines": [{"item": "Bread", "quantity": "1"}, {"item": "Avocado", "quantity": "2"}]}),
        ),
    ]
}
