//! `get_user_profile`: a customer with what they bought and owe, or who is calling.

use chrono::{DateTime, Utc};
use contracts::money::Money;
use contracts::tools::billing::BillHead;
use contracts::tools::profile::{
    CallerView, GetUserProfile, GetUserProfileInput, GetUserProfileOutput, Purchases,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::details;
use crate::error::CallError;
use crate::handler::{Call, ReadTool, Shop};
use crate::words::profile;
use crate::{bills, customers, numbering};

/// How many bills are shown.
const BILLS_SHOWN: i64 = 5;

impl ReadTool for GetUserProfile {
    async fn read(
        call: &mut Call<'_>,
        input: GetUserProfileInput,
    ) -> Result<GetUserProfileOutput, CallError> {
        let Some(customer) = customers::whose(call, input.customer.as_deref(), "customer").await?
        else {
            let caller = caller(call);
            return Ok(GetUserProfileOutput {
                summary: profile::caller(call.locale, &caller),
                caller: Some(caller),
                customer: None,
                purchases: None,
            });
        };
        let (tenant, id) = (call.tenant(), customer.id);
        let customer = details::load(call.conn, tenant, id).await?;
        let customer = details::shown(call, customer);
        let purchases = purchases(call, id).await?;
        Ok(GetUserProfileOutput {
            summary: profile::shown(call.locale, &customer, &purchases),
            caller: call.caller.confined_to().map(|_| caller(call)),
            customer: Some(customer),
            purchases: Some(purchases),
        })
    }
}

fn caller(call: &Call<'_>) -> CallerView {
    let (caller, shop) = (call.caller, call.shop);
    CallerView {
        subject: caller.subject.clone(),
        role: caller.role,
        shop: shop.name.clone(),
        currency: shop.currency.code().to_owned(),
        time_zone: shop.time_zone.name().to_owned(),
        language: shop.locale.tag().to_owned(),
    }
}

async fn purchases(call: &mut Call<'_>, customer_id: Uuid) -> Result<Purchases, CallError> {
    let (tenant, shop) = (call.tenant(), call.shop);
    let sums = select_sums(call.conn, tenant, customer_id).await?;
    let last_bills = select_last(call.conn, tenant, customer_id, BILLS_SHOWN)
        .await?
        .into_iter()
        .map(|row| row.head(shop))
        .collect::<Result<Vec<BillHead>, CallError>>()?;
    Ok(Purchases {
        bills: sums.bills,
        owed: Money::minor(sums.owed, shop.currency),
        last_bills,
    })
}

struct Sums {
    bills: i64,
    owed: i64,
}

struct HeadRow {
    id: Uuid,
    series: String,
    number: i64,
    status: String,
    kind: String,
    customer_name: Option<String>,
    total: i64,
    paid: i64,
    credited: i64,
    issued_at: DateTime<Utc>,
}

impl HeadRow {
    fn head(self, shop: &Shop) -> Result<BillHead, CallError> {
        let status = bills::status(&self.status)?;
        let total = Money::minor(self.total, shop.currency);
        let kind = bills::kind(&self.kind)?;
        let settled = Money::minor(self.paid + self.credited, shop.currency);
        Ok(BillHead {
            bill_id: self.id,
            number: numbering::shown(&self.series, self.number),
            status,
            customer: self.customer_name,
            kind,
            total,
            credited: Money::minor(self.credited, shop.currency),
            owed: bills::owed(kind, status, total, settled),
            issued_at: self.issued_at,
        })
    }
}

async fn select_sums(
    conn: &mut PgConnection,
    tenant: Uuid,
    customer_id: Uuid,
) -> Result<Sums, sqlx::Error> {
    sqlx::query_as!(
        Sums,
        r#"select count(*) filter (where kind = 'invoice') as "bills!", coalesce(sum(total - paid - credited) filter (where status = 'open' and kind = 'invoice'), 0)::bigint as "owed!"
           from shop.bills where tenant_id = $1 and customer_id = $2 and status <> 'void'"#,
        tenant,
        customer_id
    )
    .fetch_one(conn)
    .await
}

async fn select_last(
    conn: &mut PgConnection,
    tenant: Uuid,
    customer_id: Uuid,
    most: i64,
) -> Result<Vec<HeadRow>, sqlx::Error> {
    sqlx::query_as!(
        HeadRow,
        "select id, series, number, status, kind, customer_name, total, paid, credited, issued_at from shop.bills
         where tenant_id = $1 and customer_id = $2 order by issued_at desc, id desc limit $3",
        tenant,
        customer_id,
        most
    )
    .fetch_all(conn)
    .await
}

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use contracts::locale::Locale;
    use contracts::tools::billing::{CreateBill, VoidBill};
    use contracts::tools::inventory::AddItem;
    use contracts::tools::profile::{CreateCustomer, UpdatePreferences};
    use serde_json::json;

    use super::*;
    use crate::testing::{World, refusal};

    #[tokio::test]
    async fn a_customer_is_shown_with_what_they_bought_and_owe() {
        let mut world = World::new().await;
        let soap = json!({"name": "Soap", "unit_price": "100", "quantity": "100"});
        world.write::<AddItem>(soap).await.unwrap();
        let ali = json!({"name": "Ali", "phone": "0788123456", "language": "es", "notes": "Pays on Fridays"});
        world.write::<CreateCustomer>(ali).await.unwrap();
        for quantity in 1..=6 {
            let bill =
                json!({"customer": "Ali", "lines": [{"item": "soap", "quantity": quantity}]});
            world.agree::<CreateBill>(bill).await.unwrap();
        }
        world.agree::<VoidBill>(json!({"bill": "6"})).await.unwrap();
        let likes = json!({"customer": "Ali", "favourites": {"add": ["soap"]}, "contact": "phone"});
        world.write::<UpdatePreferences>(likes).await.unwrap();
        for name in [
            "Ali",
            "0788 123 456",
            "+250788123456",
            "Ali (+250788123456)",
        ] {
            let shown = world
                .read::<GetUserProfile>(json!({"customer": name}))
                .await
                .unwrap();
            assert_eq!(
                shown.summary,
                "Ali: +250788123456, reached by phone, speaks es, usually takes Soap. 5 bills, RWF 1,500 owed. Notes: Pays on Fridays"
            );
            let purchases = shown.purchases.unwrap();
            let numbers: Vec<_> = purchases.last_bills.iter().map(|b| &b.number).collect();
            assert_eq!(numbers, ["INV-6", "INV-5", "INV-4", "INV-3", "INV-2"]);
            assert_eq!(purchases.last_bills[0].owed.amount_minor, 0, "void");
        }
        world.locale = Locale::Es;
        let zoe = json!({"name": "Zoé"});
        world.write::<CreateCustomer>(zoe).await.unwrap();
        let bare = world
            .read::<GetUserProfile>(json!({"customer": "zoe"}))
            .await
            .unwrap();
        assert_eq!(
            bare.summary,
            "Zoé: sin teléfono ni correo. Aún sin facturas."
        );
        let failure = refusal(
            world
                .read::<GetUserProfile>(json!({"customer": "Omar"}))
                .await,
        );
        assert_eq!(failure.code, FailureCode::UnknownCustomer);
    }

    #[tokio::test]
    async fn without_a_name_the_caller_sees_themselves() {
        let world = World::new().await;
        let own = world.read::<GetUserProfile>(json!({})).await.unwrap();
        assert_eq!(
            own.summary,
            "You are amina, the owner of Kimironko Corner. Prices are in RWF, days are those of Africa/Kigali."
        );
        let caller = own.caller.unwrap();
        assert_eq!(
            (caller.currency.as_str(), caller.language.as_str()),
            ("RWF", "en")
        );
        assert!(own.customer.is_none());
    }
}
