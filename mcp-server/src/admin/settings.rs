//! What a business has settled for itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono_tz::Tz;
use contracts::ids::TenantId;
use contracts::locale::Locale;
use contracts::money::Currency;
use serde::{Deserialize, Deserializer, Serialize};
use sqlx::PgConnection;

use super::problem::{Code, Problem};
use super::{Given, Owner, record, seen};
use crate::app::App;
use crate::caller::Caller;
use crate::error::CallError;
use crate::handler::Audit;
use crate::phones::Country;
use crate::typed;
use crate::words::arguments::Thing;

/// Longest name of a business, characters.
const NAME_CHARS_MAX: usize = 120;
/// Longest address on a bill, characters.
const ADDRESS_CHARS_MAX: usize = 300;
/// Longest telephone and tax number on a bill, characters.
const NUMBER_CHARS_MAX: usize = 40;
/// Longest handle, characters.
const HANDLE_CHARS_MAX: usize = 40;
/// How long a question may stay open, seconds.
const TTL_SECONDS: std::ops::RangeInclusive<i32> = 10..=86_400;
/// How a client that cannot be asked may get its yes.
const UNASKED_CLIENTS: [&str; 3] = ["page", "token", "refuse"];

/// The settings of one business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// The name of the business at log-in and in addresses.
    pub(crate) handle: Option<String>,
    /// The name on bills and pages.
    pub(crate) name: String,
    /// ISO 4217.
    pub(crate) currency: String,
    /// ISO 3166 alpha-2; telephone numbers without a country code belong there.
    pub(crate) country: Option<String>,
    /// IANA.
    pub(crate) time_zone: String,
    /// `en` or `es`.
    pub(crate) locale: String,
    /// Prices include tax.
    pub(crate) tax_inclusive: bool,
    /// Stock may go below zero.
    pub(crate) allow_negative_stock: bool,
    /// How long a question stays open, seconds: 10 to 86,400.
    pub(crate) confirmation_ttl_seconds: i32,
    /// `page`, `token` or `refuse`.
    pub(crate) unasked_clients: String,
    /// As it is printed on bills.
    pub(crate) address: Option<String>,
    /// As it is printed on bills.
    pub(crate) phone: Option<String>,
    /// As it is printed on bills.
    pub(crate) tax_number: Option<String>,
}

/// What is to change; what is left out stays, and null clears what may be empty.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Change {
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "maybe_null"
    )]
    country: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tax_inclusive: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_negative_stock: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmation_ttl_seconds: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unasked_clients: Option<String>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "maybe_null"
    )]
    address: Option<Option<String>>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "maybe_null"
    )]
    phone: Option<Option<String>>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "maybe_null"
    )]
    tax_number: Option<Option<String>>,
}

/// Tells null from nothing.
pub(super) fn maybe_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// `GET /admin/v1/settings`
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Owner(owner): Owner,
) -> Result<Json<Settings>, Problem> {
    let mut tx = app.begin_reading(owner.tenant).await?;
    Ok(Json(find(&mut tx, owner.tenant).await?))
}

/// `PATCH /admin/v1/settings`
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    Owner(owner): Owner,
    Given(change): Given<Change>,
) -> Result<Json<Settings>, Problem> {
    let mut tx = app.begin(owner.tenant).await?;
    let before = lock(&mut tx, owner.tenant).await?;
    let after = before.clone().changed(change.clone())?;
    if after == before {
        return Ok(Json(after));
    }
    if after.currency != before.currency && has_prices(&mut tx, owner.tenant).await? {
        return Err(Problem::new(
            Code::Conflict,
            format!(
                "The shop has prices, bills or payments in {}, so its currency stays. Open another shop for another currency.",
                before.currency
            ),
        )
        .at("currency"));
    }
    store(&mut tx, &owner, &after).await?;
    let audit = Audit {
        subject: format!("tenant:{}", owner.tenant),
        before: seen(&before),
        after: seen(&after),
    };
    record(
        &mut tx,
        &app,
        &owner,
        "admin.settings.change",
        &change,
        &audit,
    )
    .await?;
    tx.commit().await.map_err(CallError::of_commit)?;
    app.forget_shop(owner.tenant);
    Ok(Json(after))
}

impl Settings {
    /// The settings with a change that can be.
    fn changed(mut self, change: Change) -> Result<Settings, Problem> {
        if let Some(handle) = change.handle {
            self.handle = Some(checked_handle(&handle)?);
        }
        if let Some(name) = change.name {
            self.name = checked_name(&name)?;
        }
        if let Some(currency) = change.currency {
            self.currency = checked_currency(&currency)?.code().to_owned();
        }
        if let Some(country) = change.country {
            self.country = country.map(|c| checked_country(&c)).transpose()?;
        }
        if let Some(zone) = change.time_zone {
            self.time_zone = checked_zone(&zone)?.name().to_owned();
        }
        if let Some(locale) = change.locale {
            self.locale = checked_locale(&locale)?.tag().to_owned();
        }
        self.tax_inclusive = change.tax_inclusive.unwrap_or(self.tax_inclusive);
        self.allow_negative_stock = change
            .allow_negative_stock
            .unwrap_or(self.allow_negative_stock);
        if let Some(seconds) = change.confirmation_ttl_seconds {
            if !TTL_SECONDS.contains(&seconds) {
                let detail = "A question stays open for 10 to 86400 seconds.";
                return Err(Problem::value("confirmation_ttl_seconds", detail));
            }
            self.confirmation_ttl_seconds = seconds;
        }
        if let Some(word) = change.unasked_clients {
            if !UNASKED_CLIENTS.contains(&word.as_str()) {
                let detail = "A client that cannot be asked gets its yes on our page (`page`), by a token (`token`) or not at all (`refuse`).";
                return Err(Problem::value("unasked_clients", detail));
            }
            self.unasked_clients = word;
        }
        self.printed(change.address, change.phone, change.tax_number)
    }

    /// What stands at the head of a bill.
    fn printed(
        mut self,
        address: Option<Option<String>>,
        phone: Option<Option<String>>,
        tax_number: Option<Option<String>>,
    ) -> Result<Settings, Problem> {
        // Empty text clears as null does: it could not be printed.
        let kept = |text: String| Some(text).filter(|t| !t.is_empty());
        if let Some(address) = address {
            let text = address.unwrap_or_default();
            let text = typed::text(
                &text,
                Thing::Address,
                "address",
                ADDRESS_CHARS_MAX,
                Locale::En,
            )?;
            self.address = kept(text);
        }
        let number = |text: Option<String>, field: &str| {
            let text = text.unwrap_or_default();
            typed::line_or_empty(&text, Thing::Notes, field, NUMBER_CHARS_MAX, Locale::En)
                .map(kept)
                .map_err(|_| {
                    Problem::value(
                        field,
                        "It is printed on one line of at most 40 plain characters.",
                    )
                })
        };
        if let Some(phone) = phone {
            self.phone = number(phone, "phone")?;
        }
        if let Some(tax_number) = tax_number {
            self.tax_number = number(tax_number, "tax_number")?;
        }
        Ok(self)
    }
}

/// A name of a business.
pub(super) fn checked_name(text: &str) -> Result<String, Problem> {
    let name = typed::line(text, Thing::Name, "name", NAME_CHARS_MAX, Locale::En)?;
    Ok(name)
}

/// A handle: small letters, digits and dashes.
pub(super) fn checked_handle(text: &str) -> Result<String, Problem> {
    let handle = text.trim();
    let fits = (1..=HANDLE_CHARS_MAX).contains(&handle.len())
        && handle.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !handle.starts_with('-')
        && !handle.ends_with('-')
        // It would be read as an id.
        && handle.parse::<uuid::Uuid>().is_err();
    if fits {
        return Ok(handle.to_owned());
    }
    let detail = "A handle has 1 to 40 small letters, digits and dashes, with no dash at either end: corner-shop.";
    Err(Problem::value("handle", detail))
}

/// An ISO 4217 currency.
pub(super) fn checked_currency(code: &str) -> Result<Currency, Problem> {
    code.parse().map_err(|_| {
        Problem::value(
            "currency",
            "Give the currency as ISO 4217 writes it: RWF, KES, EUR.",
        )
    })
}

/// A country whose telephone numbers are known.
pub(super) fn checked_country(code: &str) -> Result<String, Problem> {
    let country: Result<Country, _> = code.trim().to_ascii_uppercase().parse();
    match country {
        Ok(country) => Ok(country.code().to_owned()),
        Err(_) => Err(Problem::value(
            "country",
            "Give the country as ISO 3166 writes it: RW, KE, ES.",
        )),
    }
}

/// A time zone by its name.
pub(super) fn checked_zone(name: &str) -> Result<Tz, Problem> {
    Ok(typed::time_zone(name, "time_zone", Locale::En)?)
}

/// A language sentences are written in.
pub(super) fn checked_locale(tag: &str) -> Result<Locale, Problem> {
    Locale::from_tag(tag)
        .ok_or_else(|| Problem::value("locale", "Sentences are written in `en` and `es`."))
}

/// A handle that another business has.
pub(super) fn handle_taken() -> Problem {
    let detail = "Another business has this handle. Choose another one.";
    Problem::new(Code::Taken, detail).at("handle")
}

async fn find(conn: &mut PgConnection, tenant: TenantId) -> Result<Settings, Problem> {
    let found = sqlx::query_as!(
        Settings,
        "select handle, name, currency, country, time_zone, locale, tax_inclusive, allow_negative_stock, confirmation_ttl_seconds,
                unasked_clients, address, phone, tax_number
         from shop.tenants where id = $1",
        tenant.0
    )
    .fetch_optional(conn)
    .await?;
    found.ok_or_else(|| Problem::missing("There is no such business."))
}

async fn lock(conn: &mut PgConnection, tenant: TenantId) -> Result<Settings, Problem> {
    sqlx::query!(
        "select id from shop.tenants where id = $1 for no key update",
        tenant.0
    )
    .fetch_optional(&mut *conn)
    .await?;
    find(conn, tenant).await
}

async fn store(conn: &mut PgConnection, owner: &Caller, new: &Settings) -> Result<(), Problem> {
    let stored = sqlx::query!(
        "update shop.tenants set handle = $2, name = $3, currency = $4, country = $5, time_zone = $6, locale = $7, tax_inclusive = $8,
                allow_negative_stock = $9, confirmation_ttl_seconds = $10, unasked_clients = $11, address = $12, phone = $13, tax_number = $14
         where id = $1",
        owner.tenant.0,
        new.handle,
        new.name,
        new.currency,
        new.country,
        new.time_zone,
        new.locale,
        new.tax_inclusive,
        new.allow_negative_stock,
        new.confirmation_ttl_seconds,
        new.unasked_clients,
        new.address,
        new.phone,
        new.tax_number
    )
    .execute(conn)
    .await
    .map_err(CallError::Database);
    match stored {
        Ok(_) => Ok(()),
        Err(error) if error.constraint() == Some("tenants_handle") => Err(handle_taken()),
        Err(error) => Err(error.into()),
    }
}

/// Whether anything is counted in the shop's currency: its minor units would mean something else in another.
async fn has_prices(conn: &mut PgConnection, tenant: TenantId) -> Result<bool, Problem> {
    let found = sqlx::query_scalar!(
        r#"select (exists (select from shop.items where tenant_id = $1 and archived_at is null)
               or exists (select from shop.bills where tenant_id = $1)
               or exists (select from shop.payments where tenant_id = $1)
               or exists (select from shop.ledger_transfers where tenant_id = $1)
               or exists (select from shop.resources where tenant_id = $1 and price is not null)
               or exists (select from shop.policies where tenant_id = $1 and above_minor is not null)) as "found!""#,
        tenant.0
    )
    .fetch_one(conn)
    .await?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            handle: None,
            name: "Corner".to_owned(),
            currency: "RWF".to_owned(),
            country: Some("RW".to_owned()),
            time_zone: "Africa/Kigali".to_owned(),
            locale: "en".to_owned(),
            tax_inclusive: true,
            allow_negative_stock: false,
            confirmation_ttl_seconds: 300,
            unasked_clients: "page".to_owned(),
            address: Some("KG 11 Avenue".to_owned()),
            phone: None,
            tax_number: None,
        }
    }

    fn changed(json: serde_json::Value) -> Result<Settings, Problem> {
        settings().changed(serde_json::from_value(json).unwrap())
    }

    #[test]
    fn what_is_left_out_stays_and_null_clears() {
        let after = changed(serde_json::json!({
            "handle": "corner-shop", "time_zone": "africa/nairobi", "currency": "kes", "country": null,
            "address": "", "phone": " 0788 123 456 ", "locale": "es-MX"
        }));
        let wanted = Settings {
            handle: Some("corner-shop".to_owned()),
            time_zone: "Africa/Nairobi".to_owned(),
            currency: "KES".to_owned(),
            country: None,
            address: None,
            phone: Some("0788 123 456".to_owned()),
            locale: "es".to_owned(),
            ..settings()
        };
        assert_eq!(after.unwrap(), wanted);
        assert_eq!(changed(serde_json::json!({})).unwrap(), settings());
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (json, field) in [
            (serde_json::json!({"handle": "-shop"}), "handle"),
            (serde_json::json!({"handle": "Shop"}), "handle"),
            (serde_json::json!({"handle": ""}), "handle"),
            (
                serde_json::json!({"handle": "01990000-0000-7000-8000-000000000001"}),
                "handle",
            ),
            (serde_json::json!({"name": " "}), "name"),
            (serde_json::json!({"currency": "BTC"}), "currency"),
            (serde_json::json!({"country": "XX"}), "country"),
            (serde_json::json!({"time_zone": "Kigali"}), "time_zone"),
            (serde_json::json!({"locale": "fr"}), "locale"),
            (
                serde_json::json!({"confirmation_ttl_seconds": 9}),
                "confirmation_ttl_seconds",
            ),
            (
                serde_json::json!({"unasked_clients": "always"}),
                "unasked_clients",
            ),
            (serde_json::json!({"address": "x".repeat(301)}), "address"),
            (
                serde_json::json!({"tax_number": "a\u{202e}b"}),
                "tax_number",
            ),
        ] {
            let problem = changed(json.clone()).unwrap_err();
            assert_eq!(problem.field.as_deref(), Some(field), "{json}");
        }
    }
}
