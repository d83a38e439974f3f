//! Prompts: pieces of work a person starts by name. A prompt brings the shop's records with it, read at that moment, so that a model begins
//! with facts. It is there for whoever may use the tools it cannot do without, and holds only what the caller may read.

use chrono::{Datelike as _, NaiveDate};
use contracts::locale::Locale;
use contracts::tool::{Tool, Toolset};
use contracts::tools::billing::{ListBills, SalesSummary};
use contracts::tools::booking::ViewBookings;
use contracts::tools::inventory::{ListItems, UpdateItem};
use contracts::tools::payment::TransactionHistory;
use contracts::tools::support::ListTickets;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use rmcp::model::{
    ErrorData, GetPromptResult, JsonObject, Prompt, PromptArgument, PromptMessage, Role,
};
use serde_json::{Value, json};

use super::icons::Icons;
use super::needs::Needs;
use super::progress::Progress;
use super::resources::{self, LOW_STOCK, Reader, answer};
use crate::caller::Caller;
use crate::days;
use crate::error::CallError;
use crate::handler::Shop;
use crate::words::prompts as words;

/// Most rows of each record.
const ROWS: u32 = 50;
/// Most days back that are offered by date.
const DAYS_OFFERED: u64 = 31;
/// Longest name of a category, characters; a longer one names none.
const CATEGORY_CHARS_MAX: usize = 40;

/// A prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    DailySummary,
    EndOfDay,
    ReorderList,
}

/// All of them, by name.
const ALL: [Named; 3] = [Named::DailySummary, Named::EndOfDay, Named::ReorderList];

impl Named {
    /// The prompt of this name, whoever may use it.
    pub(super) fn find(name: &str) -> Option<Named> {
        ALL.into_iter().find(|prompt| prompt.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            Named::DailySummary => "daily_summary",
            Named::EndOfDay => "end_of_day",
            Named::ReorderList => "reorder_list",
        }
    }

    /// Its one argument, which may be left out.
    pub(super) const fn argument(self) -> &'static str {
        match self {
            Named::DailySummary | Named::EndOfDay => "day",
            Named::ReorderList => "category",
        }
    }

    const fn toolset(self) -> Toolset {
        match self {
            Named::DailySummary | Named::EndOfDay => Toolset::Billing,
            Named::ReorderList => Toolset::Inventory,
        }
    }

    /// What it cannot do without. What the shop has left and sold is not for customers.
    pub(super) const fn needs(self) -> Needs {
        match self {
            Named::DailySummary => Needs::of_the_shop(&[SalesSummary::NAME]),
            Named::EndOfDay => Needs::of_the_shop(&[ListBills::NAME]),
            Named::ReorderList => Needs::of_the_shop(&[ListItems::NAME]),
        }
    }

    pub(super) fn is_open_to(self, caller: &Caller) -> bool {
        self.needs().are_met_by(caller)
    }
}

/// What each prompt needs, for tests of all of them.
#[cfg(test)]
pub(super) fn all_needs() -> Vec<Needs> {
    ALL.into_iter().map(Named::needs).collect()
}

/// The prompts the caller may use.
pub(super) fn list(caller: &Caller, locale: Locale, icons: Icons<'_>) -> Vec<Prompt> {
    let open = ALL.into_iter().filter(|prompt| prompt.is_open_to(caller));
    open.map(|prompt| {
        let (title, description) = words::prompt(locale, prompt.name());
        let (argument_title, argument) = words::argument(locale, prompt.argument());
        let argument = PromptArgument::new(prompt.argument())
            .with_title(argument_title)
            .with_description(argument)
            .with_required(false);
        Prompt::new(prompt.name(), Some(description), Some(vec![argument]))
            .with_title(title)
            .with_icons(icons.of(prompt.toolset()))
    })
    .collect()
}

/// One record of a prompt: what a tool answers.
#[derive(Debug, Clone)]
enum Record {
    Takings(NaiveDate),
    /// Of a day, or of any.
    OpenBills(Option<NaiveDate>),
    Money(NaiveDate),
    Bookings(NaiveDate),
    Tickets,
    /// Of a category, or of any.
    LowStock(Option<String>),
}

impl Record {
    /// The tool and its arguments; nothing where the caller may not use it.
    fn request(&self, caller: &Caller) -> Option<(&'static str, Value)> {
        fn of<T: Tool>(caller: &Caller, arguments: Value) -> Option<(&'static str, Value)> {
            caller.may_use::<T>().then_some((T::NAME, arguments))
        }
        match self {
            Record::Takings(day) => of::<SalesSummary>(caller, json!({"from": day, "to": day})),
            Record::OpenBills(None) => {
                of::<ListBills>(caller, json!({"status": "open", "limit": ROWS}))
            }
            Record::OpenBills(Some(day)) => of::<ListBills>(
                caller,
                json!({"status": "open", "from": day, "to": day, "limit": ROWS}),
            ),
            Record::Money(day) => {
                of::<TransactionHistory>(caller, json!({"from": day, "to": day, "limit": ROWS}))
            }
            Record::Bookings(day) => {
                of::<ViewBookings>(caller, json!({"from": day, "to": day, "limit": ROWS}))
            }
            Record::Tickets => of::<ListTickets>(caller, json!({"limit": ROWS})),
            Record::LowStock(category) => {
                let mut arguments = json!({"low_stock": true});
                if let Some(category) = category {
                    arguments["category"] = json!(category);
                }
                of::<ListItems>(caller, arguments)
            }
        }
    }

    fn read<'a>(
        &'a self,
        reader: Reader<'a>,
        arguments: Value,
    ) -> BoxFuture<'a, Result<String, CallError>> {
        match self {
            Record::Takings(_) => answer::<SalesSummary>(reader, arguments).boxed(),
            Record::OpenBills(_) => answer::<ListBills>(reader, arguments).boxed(),
            Record::Money(_) => answer::<TransactionHistory>(reader, arguments).boxed(),
            Record::Bookings(_) => answer::<ViewBookings>(reader, arguments).boxed(),
            Record::Tickets => answer::<ListTickets>(reader, arguments).boxed(),
            Record::LowStock(category) => resources::low_stock(reader, category.as_deref()).boxed(),
        }
    }
}

/// A prompt that was asked for, with its argument read.
pub(super) struct Begun {
    named: Named,
    locale: Locale,
    shop: String,
    argument: Argument,
    records: Vec<Record>,
}

enum Argument {
    Day(NaiveDate),
    Category(Option<String>),
}

impl Begun {
    /// Reads the argument.
    ///
    /// # Errors
    /// What is wrong with it, for the person.
    pub(super) fn new(
        named: Named,
        arguments: Option<&JsonObject>,
        shop: &Shop,
        locale: Locale,
        today: NaiveDate,
    ) -> Result<Begun, ErrorData> {
        let bad = |message: String| ErrorData::invalid_params(message, None);
        let mut given = None;
        for (name, value) in arguments.into_iter().flatten() {
            match value {
                Value::String(text) if name == named.argument() => given = Some(text.trim()),
                _ => {
                    let name: String = name.chars().take(40).collect();
                    return Err(bad(words::bad_argument(locale, &name)));
                }
            }
        }
        let given = given.filter(|text| !text.is_empty());
        let argument = match named {
            Named::DailySummary | Named::EndOfDay => {
                let day = given.map_or(Some(today), |text| day_of(text, today));
                Argument::Day(day.ok_or_else(|| bad(words::bad_day(locale).to_owned()))?)
            }
            Named::ReorderList => {
                let name = given.map(|text| text.to_lowercase());
                let fits = |name: &String| {
                    name.chars().count() <= CATEGORY_CHARS_MAX
                        && !name.chars().any(char::is_control)
                };
                if name.as_ref().is_some_and(|name| !fits(name)) {
                    return Err(bad(words::bad_argument(locale, named.argument())));
                }
                Argument::Category(name)
            }
        };
        let records = records(named, &argument);
        Ok(Begun {
            named,
            locale,
            shop: shop.name.clone(),
            argument,
            records,
        })
    }

    /// Reads the records, saying after each how many are done, and writes the messages.
    pub(super) async fn written(
        self,
        reader: Reader<'_>,
        progress: Progress<'_>,
    ) -> GetPromptResult {
        let reader = Reader {
            locale: Some(self.locale),
            ..reader
        };
        let offered: Vec<(Record, &'static str, Value)> = self
            .records
            .iter()
            .filter_map(|record| {
                let (tool, arguments) = record.request(reader.caller)?;
                Some((record.clone(), tool, arguments))
            })
            .collect();
        let mut messages = vec![self.first(reader.caller, &offered)];
        let count = offered.len();
        for (done, (record, tool, arguments)) in offered.into_iter().enumerate() {
            let text = record.read(reader, arguments.clone()).await;
            messages.push(self.message(&record, tool, &arguments, text));
            progress.say(done + 1, Some(count)).await;
        }
        let (_, description) = words::prompt(self.locale, self.named.name());
        GetPromptResult::new(messages).with_description(description)
    }

    fn first(&self, caller: &Caller, offered: &[(Record, &'static str, Value)]) -> PromptMessage {
        let mut tools: Vec<&str> = offered.iter().map(|(_, tool, _)| *tool).collect();
        tools.dedup();
        let tools = tools.join(", ");
        let text = match (&self.argument, self.named) {
            (Argument::Day(day), Named::EndOfDay) => {
                words::end_of_day(self.locale, &self.shop, *day, &tools)
            }
            (Argument::Day(day), _) => words::daily_summary(self.locale, &self.shop, *day, &tools),
            (Argument::Category(category), _) => words::reorder_list(
                self.locale,
                &self.shop,
                category.as_deref(),
                caller.may_use::<UpdateItem>(),
            ),
        };
        PromptMessage::new_text(Role::User, text)
    }

    /// A record: the resource where it is one, else what the tool answered. A record that fails is said to be missing; the rest is there.
    fn message(
        &self,
        record: &Record,
        tool: &str,
        arguments: &Value,
        text: Result<String, CallError>,
    ) -> PromptMessage {
        match (record, text) {
            (Record::LowStock(None), Ok(text)) => PromptMessage::new_resource(
                Role::User,
                LOW_STOCK.to_owned(),
                Some("application/json".to_owned()),
                Some(text),
                None,
                None,
                None,
            ),
            (_, text) => {
                let head = words::record(self.locale, tool, &arguments.to_string());
                let body = text.unwrap_or_else(|error| {
                    tracing::debug!(%error, tool, "a record of a prompt");
                    words::no_record(self.locale).to_owned()
                });
                PromptMessage::new_text(Role::User, format!("{head}\n{body}"))
            }
        }
    }
}

fn records(named: Named, argument: &Argument) -> Vec<Record> {
    match (named, argument) {
        (Named::DailySummary, Argument::Day(day)) => vec![
            Record::Takings(*day),
            Record::OpenBills(None),
            Record::Bookings(*day),
            Record::LowStock(None),
        ],
        (_, Argument::Day(day)) => vec![
            Record::Takings(*day),
            Record::OpenBills(Some(*day)),
            Record::Money(*day),
            Record::Tickets,
            Record::Bookings(day.succ_opt().unwrap_or(*day)),
            Record::LowStock(None),
        ],
        (_, Argument::Category(category)) => vec![Record::LowStock(category.clone())],
    }
}

/// A day as it may be given. Pure.
fn day_of(text: &str, today: NaiveDate) -> Option<NaiveDate> {
    let day = match text.to_lowercase().as_str() {
        "today" | "hoy" => today,
        "yesterday" | "ayer" => today.pred_opt()?,
        _ => text.parse().ok()?,
    };
    days::YEARS.contains(&day.year()).then_some(day)
}

/// The days that begin so: the named ones, then the last month's dates. Pure.
pub(super) fn days_beginning(begun: &str, locale: Locale, today: NaiveDate) -> Vec<String> {
    let begun = begun.trim().to_lowercase();
    let named = words::named_days(locale).into_iter().map(str::to_owned);
    let dates = (0..DAYS_OFFERED)
        .filter_map(|back| today.checked_sub_days(chrono::Days::new(back)))
        .map(|day| day.to_string());
    named
        .chain(dates)
        .filter(|day| day.starts_with(&begun))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_named_or_dated() {
        let today: NaiveDate = "2026-11-20".parse().unwrap();
        let day = |text: &str| day_of(text, today).map(|d| d.to_string());
        assert_eq!(day("Today").as_deref(), Some("2026-11-20"));
        assert_eq!(day("ayer").as_deref(), Some("2026-11-19"));
        assert_eq!(day("2026-02-28").as_deref(), Some("2026-02-28"));
        for bad in ["tomorrow", "2026-02-30", "+10000-01-01", "1900-01-01", "20"] {
            assert_eq!(day(bad), None, "{bad}");
        }
        assert_eq!(days_beginning("t", Locale::En, today), ["today"]);
        assert_eq!(days_beginning("", Locale::Es, today).len(), 33);
        assert_eq!(
            days_beginning("2026-11-2", Locale::Es, today),
            ["2026-11-20"]
        );
    }
}
