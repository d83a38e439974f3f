//! `collect_payment`: takes money for a bill or from a customer, at once or through a provider.

use contracts::money::Money;
use contracts::tools::payment::{
    CollectPayment, CollectPaymentInput, PaidPart, PaymentMethod, PaymentOutput,
};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::bills::owed::{self, BILLS_MAX, Moved, Owed, Part};
use crate::bills::{self, Bill};
use crate::customers::{self, Customer};
use crate::error::CallError;
use crate::handler::{Audit, Call, CommitTool, Effected, Prepared};
use crate::ledger::{self, Account, Desk};
use crate::payments::way::{self, Way};
use crate::payments::{self, Direction, NewPayment};
use crate::words::arguments::{self, Thing};
use crate::words::payment::{self as words, Payer, Said};
use crate::{providers, typed};

/// Who pays.
#[derive(Debug, Clone)]
enum Who {
    /// Nobody we know: a bill over the counter.
    Nobody,
    /// A customer.
    Known(Customer),
    /// Somebody whose telephone is nobody's yet: a new customer of that name.
    New(String),
}

impl Who {
    fn said(&self) -> Payer<'_> {
        match self {
            Who::Nobody => Payer::Counter,
            Who::Known(customer) => Payer::Known(&customer.name),
            Who::New(phone) => Payer::New(phone),
        }
    }

    fn id(&self) -> Option<Uuid> {
        match self {
            Who::Known(customer) => Some(customer.id),
            Who::Nobody | Who::New(_) => None,
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Who::Known(customer) => Some(&customer.name),
            Who::New(phone) => Some(phone),
            Who::Nobody => None,
        }
    }
}

/// A payment that only has to be taken.
pub struct Plan {
    who: Who,
    bill: Option<Bill>,
    amount: Money,
    /// No amount was named: it is all that is owed.
    all_owed: bool,
    way: Way,
    parts: Vec<Part>,
    to_wallet_minor: i64,
}

impl CommitTool for CollectPayment {
    type Plan = Plan;

    async fn prepare(
        call: &mut Call<'_>,
        input: &CollectPaymentInput,
    ) -> Result<Prepared<Plan>, CallError> {
        if call.caller.confined_to().is_some() && input.method == PaymentMethod::Cash {
            return Err(words::cash_at_the_counter(call.locale, "method").into());
        }
        let phone = match &input.phone {
            Some(text) => Some(way::phone(call, text, "phone")?),
            None => None,
        };
        let bill = match &input.bill {
            Some(name) => Some(bills::find_invoice(call, name).await?),
            None => None,
        };
        let who = who_pays(call, input, bill.as_ref(), phone.as_deref()).await?;
        let (customer, named) = scope(&who, bill.as_ref());
        let tenant = call.tenant();
        let open = owed::read(call.conn, tenant, customer, named).await?;
        let amount = amount(call, input, &who, bill.as_ref(), &open)?;
        if input.method == PaymentMethod::Wallet {
            let Who::Known(customer) = &who else {
                return Err(words::wallet_of_nobody(call.locale, "method").into());
            };
            let (id, name) = (customer.id, customer.name.clone());
            way::holds(call, id, &name, amount.amount_minor, "amount").await?;
        }
        let way = way::way(
            call,
            input.method,
            Direction::Collect,
            phone,
            who.id(),
            "phone",
        )
        .await?;
        let (parts, to_wallet_minor) = owed::spread(amount.amount_minor, &open);
        let plan = Plan {
            who,
            bill,
            amount,
            all_owed: input.amount.is_none(),
            way,
            parts,
            to_wallet_minor,
        };
        Ok(plan.prepared(call))
    }

    async fn execute(
        call: &mut Call<'_>,
        _input: CollectPaymentInput,
        plan: Plan,
    ) -> Result<Effected<PaymentOutput>, CallError> {
        let customer = match &plan.who {
            Who::Nobody => None,
            Who::Known(customer) => Some(customer.clone()),
            Who::New(phone) => Some(create_by_phone(call, phone).await?),
        };
        let desk = Desk::of(call);
        let mut new = NewPayment::incoming(
            desk.new_id(),
            Direction::Collect,
            plan.way.method,
            plan.way.provider,
            plan.amount.amount_minor,
        );
        new.customer_id = customer.as_ref().map(|c| c.id);
        new.bill_id = plan.bill.as_ref().map(|bill| bill.id);
        new.phone.clone_from(&plan.way.phone);
        if plan.way.provider.is_some() {
            begin(call, desk, &plan, &new, customer.as_ref()).await
        } else {
            take(call, desk, &plan, new, customer.as_ref()).await
        }
    }
}

/// Asks the provider: what is paid with it is settled when the money has come.
async fn begin(
    call: &mut Call<'_>,
    desk: Desk<'_>,
    plan: &Plan,
    new: &NewPayment,
    customer: Option<&Customer>,
) -> Result<Effected<PaymentOutput>, CallError> {
    let pending = payments::begin(call.conn, desk, new).await?;
    providers::request(call, &pending).await?;
    let payment = pending.payment;
    let summary = words::requested(call.locale, &plan.said(&[]), &payment.reference());
    let view = payment.view(plan.who.name(), &[], None);
    let owed = owed_now(call, plan, customer).await?;
    let output = PaymentOutput {
        summary,
        payment: view,
        owed,
        wallet: wallet_now(call, customer).await?,
    };
    Ok(Effected {
        audit: Audit {
            subject: payment.subject(),
            before: None,
            after: Some(json!(output.payment)),
        },
        events: vec![payment.event("payment.pending")],
        output,
    })
}

/// Takes the money now: the bills are locked, and must be owed what was agreed to.
async fn take(
    call: &mut Call<'_>,
    desk: Desk<'_>,
    plan: &Plan,
    mut new: NewPayment,
    customer: Option<&Customer>,
) -> Result<Effected<PaymentOutput>, CallError> {
    let (scope, named) = scope(&plan.who, plan.bill.as_ref());
    let open = owed::lock(call.conn, desk.tenant, scope, named).await?;
    let (parts, to_wallet_minor) = owed::spread(plan.amount.amount_minor, &open);
    if let (Some(bill), true) = (&plan.bill, to_wallet_minor > 0) {
        // Somebody paid, credited or voided it since it was read.
        let left_minor: i64 = open.iter().map(|b| b.owed_minor).sum();
        let left = Money::minor(left_minor, desk.currency);
        return Err(refuse_more(call, left, Some(&bill.number)));
    }
    let owed_minor: i64 = open.iter().map(|bill| bill.owed_minor).sum();
    let owes_more = plan.all_owed && owed_minor != plan.amount.amount_minor;
    if owes_more || (&parts, to_wallet_minor) != (&plan.parts, plan.to_wallet_minor) {
        return Err(words::changed(call.locale).into());
    }
    let moved: Vec<Moved> = parts
        .iter()
        .map(|part| Moved {
            bill_id: part.bill_id,
            paid_minor: part.amount_minor,
            credited_minor: 0,
        })
        .collect();
    new.parts.clone_from(&parts);
    let written = payments::write(call.conn, desk, std::slice::from_ref(&new), &[], &moved)
        .await
        .map_err(|error| way::floor_met(call, error))?;
    let Some(payment) = written.into_iter().next() else {
        return Err(CallError::Broken("no payment was written".to_owned()));
    };
    let view = payment.view(plan.who.name(), &parts, Some(to_wallet_minor));
    let summary = words::collected(call.locale, &plan.said(&view.bills), &payment.reference());
    let output = PaymentOutput {
        summary,
        payment: view,
        owed: owed_now(call, plan, customer).await?,
        wallet: wallet_now(call, customer).await?,
    };
    Ok(Effected {
        audit: Audit {
            subject: payment.subject(),
            before: None,
            after: Some(json!(output.payment)),
        },
        events: vec![payment.event("payment.settled")],
        output,
    })
}

impl Plan {
    fn said<'a>(&'a self, bills: &'a [PaidPart]) -> Said<'a> {
        let to_wallet = Money::minor(self.to_wallet_minor, self.amount.currency);
        Said {
            amount: self.amount,
            payer: self.who.said(),
            method: self.way.method,
            phone: self.way.phone.as_deref(),
            bills,
            to_wallet: Some(to_wallet).filter(|rest| rest.amount_minor > 0),
        }
    }

    fn prepared(self, call: &Call<'_>) -> Prepared<Plan> {
        let currency = self.amount.currency;
        let bills: Vec<PaidPart> = self
            .parts
            .iter()
            .map(|part| PaidPart {
                bill_id: part.bill_id,
                number: part.number.clone(),
                amount: Money::minor(part.amount_minor, currency),
            })
            .collect();
        let customer = match &self.who {
            Who::Nobody => Value::Null,
            Who::Known(customer) => json!({"id": customer.id}),
            Who::New(phone) => json!({"new": phone}),
        };
        let parts: Vec<Value> = self
            .parts
            .iter()
            .map(|part| json!({"bill_id": part.bill_id, "amount_minor": part.amount_minor}))
            .collect();
        Prepared {
            message: words::ask_collect(call.locale, &self.said(&bills)),
            lines: Vec::new(),
            total: Some(self.amount),
            binding: json!({
                "customer": customer,
                "bill_id": self.bill.as_ref().map(|bill| bill.id),
                "amount_minor": self.amount.amount_minor,
                "currency": currency,
                "method": self.way.method,
                "phone": self.way.phone,
                "bills": parts,
                "to_wallet_minor": self.to_wallet_minor,
            }),
            informative: json!({"bills": bills}),
            plan: self,
        }
    }
}

/// Whose open bills a payment looks at: one that is named stands alone.
fn scope(who: &Who, bill: Option<&Bill>) -> (Option<Uuid>, Option<Uuid>) {
    match bill {
        Some(bill) => (None, Some(bill.id)),
        None => (who.id(), None),
    }
}

async fn who_pays(
    call: &mut Call<'_>,
    input: &CollectPaymentInput,
    bill: Option<&Bill>,
    phone: Option<&str>,
) -> Result<Who, CallError> {
    if let Some(customer) = customers::whose(call, input.customer.as_deref(), "customer").await? {
        if let Some(bill) = bill
            && bill.customer_id.is_some_and(|owner| owner != customer.id)
        {
            let owner = bill.customer.as_deref().unwrap_or_default();
            return Err(
                words::bill_of_another(call.locale, &bill.number, owner, &customer.name).into(),
            );
        }
        return Ok(Who::Known(customer));
    }
    if let Some(bill) = bill
        && let (Some(id), Some(name)) = (bill.customer_id, bill.customer.clone())
    {
        return Ok(Who::Known(Customer { id, name }));
    }
    let tenant = call.tenant();
    match (phone, bill) {
        (Some(phone), bill) => {
            let found = select_by_phone(call.conn, tenant, phone).await?;
            Ok(match (found, bill) {
                (Some(customer), _) => Who::Known(customer),
                (None, Some(_)) => Who::Nobody,
                (None, None) => Who::New(phone.to_owned()),
            })
        }
        (None, Some(_)) => Ok(Who::Nobody),
        (None, None) => Err(words::who_pays(call.locale).into()),
    }
}

fn refuse_more(call: &Call<'_>, owed: Money, bill: Option<&str>) -> CallError {
    if owed.amount_minor == 0 {
        words::nothing_owed(call.locale, bill, None).into()
    } else {
        words::more_than_owed(call.locale, owed, bill).into()
    }
}

/// What is asked for, else what is owed. A bill and a wallet never pay more than that.
fn amount(
    call: &Call<'_>,
    input: &CollectPaymentInput,
    who: &Who,
    bill: Option<&Bill>,
    open: &[Owed],
) -> Result<Money, CallError> {
    let (shop, locale) = (call.shop, call.locale);
    let number = bill.map(|bill| bill.number.as_str());
    let owed_minor: i64 = open.iter().map(|bill| bill.owed_minor).sum();
    let owed = Money::minor(owed_minor, shop.currency);
    let given = input
        .amount
        .map(|amount| typed::amount(amount, Thing::Amount, shop, "amount", locale))
        .transpose()?;
    if given.is_some_and(|amount| amount.amount_minor == 0) {
        return Err(arguments::not_positive(locale, Thing::Amount, "amount").into());
    }
    let only_owed = bill.is_some() || input.method == PaymentMethod::Wallet;
    if owed_minor == 0 && (only_owed || given.is_none()) {
        return Err(words::nothing_owed(locale, number, who.name()).into());
    }
    let amount = given.unwrap_or(owed);
    if open.len() > BILLS_MAX {
        return Err(words::too_many_bills(locale, BILLS_MAX).into());
    }
    if only_owed && amount.amount_minor > owed_minor {
        return Err(words::more_than_owed(locale, owed, number).into());
    }
    Ok(amount)
}

async fn owed_now(
    call: &mut Call<'_>,
    plan: &Plan,
    customer: Option<&Customer>,
) -> Result<Money, CallError> {
    let (tenant, currency) = (call.tenant(), call.shop.currency);
    let named = plan.bill.as_ref().map(|bill| bill.id);
    let customer = customer.map(|c| c.id).filter(|_| named.is_none());
    let open = owed::read(call.conn, tenant, customer, named).await?;
    let owed_minor = open.iter().map(|bill| bill.owed_minor).sum();
    Ok(Money::minor(owed_minor, currency))
}

/// What a customer has with the shop.
pub(super) async fn wallet_now(
    call: &mut Call<'_>,
    customer: Option<&Customer>,
) -> Result<Option<Money>, CallError> {
    let Some(customer) = customer else {
        return Ok(None);
    };
    let (tenant, currency) = (call.tenant(), call.shop.currency);
    let account = Account::Wallet(customer.id);
    let wallet = ledger::balance(call.conn, tenant, currency, account).await?;
    Ok(Some(Money::minor(wallet.held_minor(), currency)))
}

/// The customer of this telephone; two payments from a new one at once make one customer.
async fn create_by_phone(call: &mut Call<'_>, phone: &str) -> Result<Customer, CallError> {
    let (tenant, id) = (call.tenant(), call.new_id());
    insert_by_phone(call.conn, tenant, id, phone, call.now).await?;
    select_by_phone(call.conn, tenant, phone)
        .await?
        .ok_or_else(|| CallError::Broken("a customer is gone".to_owned()))
}

async fn select_by_phone(
    conn: &mut PgConnection,
    tenant: Uuid,
    phone: &str,
) -> Result<Option<Customer>, sqlx::Error> {
    sqlx::query_as!(
        Customer,
        "select id, name from shop.customers where tenant_id = $1 and phone_e164 = $2 and deleted_at is null",
        tenant,
        phone
    )
    .fetch_optional(conn)
    .await
}

async fn insert_by_phone(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    phone: &str,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into shop.customers (tenant_id, id, name, phone_e164, created_at) values ($1, $2, $3, $3, $4)
         on conflict (tenant_id, phone_e164) where phone_e164 is not null and deleted_at is null do nothing",
        tenant,
        id,
        phone,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use contracts::locale::Locale;
    use contracts::tools::billing::{CreateBill, CreditBill, GetBill, VoidBill};
    use contracts::tools::inventory::AddItem;
    use contracts::tools::payment::{CheckBalance, RefundPayment, TopUpWallet, TransactionHistory};

    use super::*;
    use crate::testing::{World, refusal};

    async fn stocked(world: World) -> World {
        let sugar = json!({"name": "Sugar", "unit": "kg", "unit_price": "100", "quantity": "1000"});
        world.write::<AddItem>(sugar).await.unwrap();
        world
    }

    async fn bill(world: &World, customer: Option<&str>, kilos: &str) {
        let mut bill = json!({"lines": [{"item": "sugar", "quantity": kilos}]});
        if let Some(customer) = customer {
            bill["customer"] = json!(customer);
        }
        world.agree::<CreateBill>(bill).await.unwrap();
    }

    /// What Ali owes and has, which is also what the history adds up to.
    async fn standing(world: &World) -> (i64, i64) {
        let ali = json!({"customer": "Ali"});
        let balance = world.read::<CheckBalance>(ali).await.unwrap();
        let (mut owed, mut wallet, mut cursor, mut seen) = (0, 0, None, Vec::new());
        loop {
            let mut page = json!({"customer": "Ali", "limit": 2});
            if let Some(cursor) = cursor {
                page["cursor"] = json!(cursor);
            }
            let page = world.read::<TransactionHistory>(page).await.unwrap();
            for movement in page.movements {
                owed += movement.owed_change.amount_minor;
                wallet += movement.wallet_change.amount_minor;
                seen.push(movement.transfer_id);
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        seen.sort_unstable();
        let before = seen.len();
        seen.dedup();
        assert_eq!(seen.len(), before, "every movement once");
        let said = (balance.owed.amount_minor, balance.wallet.amount_minor);
        assert_eq!((owed, wallet), said, "the history adds up to the balance");
        said
    }

    #[tokio::test]
    async fn money_pays_the_oldest_bills_and_the_rest_goes_into_the_wallet() {
        let mut world = stocked(World::new().await).await;
        bill(&world, Some("Ali"), "3").await;
        bill(&world, Some("Ali"), "2").await;
        let input = json!({"customer": "Ali", "amount": "1000", "method": "cash"});
        let asked = world.ask::<CollectPayment>(input.clone()).await.unwrap();
        assert_eq!(
            asked.message,
            "Collect RWF 1,000 from Ali in cash: RWF 300 pays bill INV-1, RWF 200 pays bill INV-2, RWF 500 goes into the wallet. \
             Reply 'yes' to confirm."
        );
        let part = json!({"customer": "Ali", "amount": "350", "method": "cash"});
        let done = world.agree::<CollectPayment>(part).await.unwrap();
        assert_eq!(
            done.summary,
            "Collected RWF 350 from Ali in cash: RWF 300 pays bill INV-1, RWF 50 pays bill INV-2. Payment PAY-1."
        );
        assert_eq!(done.owed.amount_minor, 150);
        let after = world.ask::<CollectPayment>(input.clone()).await.unwrap();
        assert_ne!(after.binding, asked.binding, "it would pay other bills now");
        world.agree::<CollectPayment>(input).await.unwrap();
        assert_eq!(standing(&world).await, (0, 850));
        bill(&world, Some("Ali"), "5").await;
        let wallet = json!({"customer": "Ali", "method": "wallet"});
        let done = world.agree::<CollectPayment>(wallet.clone()).await.unwrap();
        assert_eq!(done.wallet.unwrap().amount_minor, 350);
        assert_eq!(standing(&world).await, (0, 350));
        bill(&world, Some("Ali"), "4").await;
        let failure = refusal(world.ask::<CollectPayment>(wallet).await);
        assert_eq!(failure.code, FailureCode::InsufficientFunds);
        assert_eq!(failure.candidates[0].amount.unwrap().amount_minor, 350);
        world.locale = Locale::Es;
        let said = world
            .read::<CheckBalance>(json!({"customer": "Ali"}))
            .await
            .unwrap();
        assert_eq!(
            said.summary,
            "Ali debe RWF 400 en 1 factura abierta y tiene RWF 350 en el monedero."
        );
    }

    #[tokio::test]
    async fn a_telephone_pays_for_its_owner_or_makes_a_customer() {
        let world = stocked(World::new().await).await;
        let nobody = json!({"phone": "0788 123 456", "amount": "5000", "method": "cash"});
        let asked = world.ask::<CollectPayment>(nobody.clone()).await.unwrap();
        assert_eq!(
            asked.message,
            "Collect RWF 5,000 from new customer +250788123456 in cash (+250788123456): RWF 5,000 goes into the wallet. \
             Reply 'yes' to confirm."
        );
        world.agree::<CollectPayment>(nobody.clone()).await.unwrap();
        let again = world.agree::<CollectPayment>(nobody).await.unwrap();
        assert_eq!(again.wallet.unwrap().amount_minor, 10_000);
        let customers = "select count(*) from shop.customers";
        assert_eq!(world.number(customers).await, 1);
        let failure = refusal(
            world
                .ask::<CollectPayment>(json!({"phone": "12", "amount": "1", "method": "cash"}))
                .await,
        );
        assert_eq!(failure.field.as_deref(), Some("phone"));
    }

    #[tokio::test]
    async fn a_customer_pays_her_own_bills_and_never_in_cash() {
        let mut world = stocked(World::new().await).await;
        world.providers.momo = true;
        bill(&world, Some("Ali"), "3").await;
        bill(&world, Some("Zoe"), "2").await;
        let top_up = json!({"customer": "Ali", "amount": "500", "method": "cash"});
        world.agree::<TopUpWallet>(top_up).await.unwrap();
        world.become_customer("Ali").await;
        for (input, code, field) in [
            (
                json!({"method": "cash"}),
                FailureCode::InvalidArguments,
                "method",
            ),
            (
                json!({"method": "mobile_money", "phone": "+250788123456"}),
                FailureCode::InvalidArguments,
                "method",
            ),
            (
                json!({"bill": "2", "method": "wallet"}),
                FailureCode::UnknownBill,
                "bill",
            ),
        ] {
            let failure = refusal(world.ask::<CollectPayment>(input).await);
            assert_eq!(
                (failure.code, failure.field.as_deref()),
                (code, Some(field))
            );
        }
        // Whoever is named, it is she who pays.
        let input = json!({"customer": "Zoe", "method": "wallet"});
        let done = world.agree::<CollectPayment>(input).await.unwrap();
        assert_eq!(
            done.summary,
            "Collected RWF 300 from Ali from the wallet: RWF 300 pays bill INV-1. Payment PAY-2."
        );
        let history = world.read::<TransactionHistory>(json!({})).await.unwrap();
        let accounts: std::collections::BTreeSet<String> = history
            .movements
            .iter()
            .flat_map(|m| [m.from_account.clone(), m.to_account.clone()])
            .collect();
        assert_eq!(
            accounts.into_iter().collect::<Vec<_>>(),
            ["receivable", "shop", "wallet"]
        );
        let balance = world.read::<CheckBalance>(json!({})).await.unwrap();
        assert_eq!(
            balance.summary,
            "Ali owes nothing and has RWF 200 in the wallet."
        );
    }

    #[tokio::test]
    async fn what_cannot_be_collected_is_refused_and_nothing_is_written() {
        let world = stocked(World::new().await).await;
        bill(&world, Some("Ali"), "3").await;
        bill(&world, None, "1").await;
        bill(&world, Some("Zoe"), "1").await;
        for (input, code, said) in [
            (
                json!({"method": "cash", "amount": "5"}),
                FailureCode::InvalidArguments,
                "Say who pays or which bill is paid.",
            ),
            (
                json!({"bill": "1", "amount": "301", "method": "cash"}),
                FailureCode::InvalidArguments,
                "Only RWF 300 is owed on bill INV-1.",
            ),
            (
                json!({"bill": "1", "amount": "0", "method": "cash"}),
                FailureCode::InvalidArguments,
                "The amount must be more than 0.",
            ),
            (
                json!({"bill": "1", "amount": "0.5", "method": "cash"}),
                FailureCode::InvalidArguments,
                "The amount has more decimals than RWF has: 0 at most.",
            ),
            (
                json!({"bill": "9", "method": "cash"}),
                FailureCode::UnknownBill,
                "There is no bill 9.",
            ),
            (
                json!({"bill": "2", "method": "wallet"}),
                FailureCode::InvalidArguments,
                "Only a known customer has a wallet. Say whose it is, or choose another way.",
            ),
            (
                json!({"bill": "3", "customer": "Ali", "method": "cash"}),
                FailureCode::InvalidArguments,
                "Bill INV-3 is for Zoe, not for Ali.",
            ),
            (
                json!({"customer": "Grace", "amount": "5", "method": "cash"}),
                FailureCode::UnknownCustomer,
                "There is no customer called Grace.",
            ),
            (
                json!({"bill": "1", "method": "mobile_money", "phone": "+250788123456"}),
                FailureCode::MethodUnavailable,
                "Mobile money is not set up for this shop.",
            ),
            (
                json!({"bill": "1", "method": "card"}),
                FailureCode::MethodUnavailable,
                "Cards are not set up for this shop.",
            ),
        ] {
            let failure = refusal(world.ask::<CollectPayment>(input).await);
            assert_eq!((failure.code, failure.message.as_str()), (code, said));
        }
    }

    #[tokio::test]
    async fn a_bill_that_is_settled_or_void_is_owed_nothing() {
        let world = stocked(World::new().await).await;
        bill(&world, Some("Ali"), "3").await;
        bill(&world, None, "1").await;
        let cash = json!({"bill": "2", "method": "cash"});
        world.agree::<CollectPayment>(cash.clone()).await.unwrap();
        let failure = refusal(world.ask::<CollectPayment>(cash).await);
        assert_eq!(failure.code, FailureCode::NothingOwed);
        assert_eq!(failure.message, "Nothing is owed on bill INV-2.");
        world.agree::<VoidBill>(json!({"bill": "1"})).await.unwrap();
        let cash = json!({"bill": "1", "method": "cash"});
        let failure = refusal(world.ask::<CollectPayment>(cash).await);
        assert_eq!(failure.code, FailureCode::NothingOwed);
    }

    #[tokio::test]
    async fn money_has_the_decimals_of_its_currency_from_the_argument_to_the_ledger() {
        for (currency, price, amount, minor, said) in [
            ("KES", "12.35", "12.35", 1_235, "KES 12.35"),
            ("KWD", "1.255", "1.255", 1_255, "KWD 1.255"),
        ] {
            let world = World::selling_in(currency).await;
            let tea = json!({"name": "Tea", "unit_price": price, "quantity": "10"});
            world.write::<AddItem>(tea).await.unwrap();
            let bill = json!({"customer": "Ali", "lines": [{"item": "tea", "quantity": "2"}]});
            world.agree::<CreateBill>(bill).await.unwrap();
            let input = json!({"customer": "Ali", "amount": amount, "method": "cash"});
            let done = world.agree::<CollectPayment>(input).await.unwrap();
            assert_eq!(done.payment.amount.to_string(), said);
            assert_eq!(done.owed.amount_minor, minor);
            assert_eq!(standing(&world).await, (minor, 0));
            let fine = json!({"customer": "Ali", "amount": "0.00001", "method": "cash"});
            assert_eq!(
                refusal(world.ask::<CollectPayment>(fine).await).code,
                FailureCode::InvalidArguments
            );
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn eight_collect_the_same_bill_and_never_more_than_is_owed() {
        let world = stocked(World::new().await).await;
        bill(&world, Some("Ali"), "10").await;
        let all = (0..8).map(|i| {
            let method = json!({"bill": "1", "amount": "300", "method": "cash"});
            let whole = json!({"bill": "1", "method": "cash"});
            world.agree_unchecked::<CollectPayment>(if i == 7 { whole } else { method })
        });
        for done in futures::future::join_all(all).await {
            if done.is_err() {
                let code = refusal(done).code;
                let expected = [
                    FailureCode::NothingOwed,
                    FailureCode::InvalidArguments,
                    FailureCode::VersionConflict,
                ];
                assert!(expected.contains(&code), "{code:?}");
            }
        }
        world.check_invariants().await;
        let taken = "select coalesce(sum(amount), 0)::bigint from shop.payments";
        let paid = world.number("select paid from shop.bills").await;
        assert_eq!(world.number(taken).await, paid);
        assert!((900..=1_000).contains(&paid), "{paid}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sixteen_spend_a_wallet_at_once_and_it_never_goes_below_zero() {
        let world = stocked(World::new().await).await;
        for _ in 0..16 {
            bill(&world, Some("Ali"), "1").await;
        }
        let top_up = json!({"customer": "Ali", "amount": "550", "method": "cash"});
        world.agree::<TopUpWallet>(top_up).await.unwrap();
        let all = (1..=16).map(|n| {
            let input = json!({"bill": n.to_string(), "method": "wallet"});
            world.agree_unchecked::<CollectPayment>(input)
        });
        let (paid, refused): (Vec<_>, Vec<_>) = futures::future::join_all(all)
            .await
            .into_iter()
            .partition(Result::is_ok);
        assert_eq!((paid.len(), refused.len()), (5, 11));
        for one in refused {
            assert_eq!(refusal(one).code, FailureCode::InsufficientFunds);
        }
        world.check_invariants().await;
        assert_eq!(standing(&world).await, (1_100, 50));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn bills_payments_refunds_credits_and_voids_together_neither_deadlock_nor_lose_money() {
        let world = stocked(World::new().await).await;
        for _ in 0..12 {
            bill(&world, Some("Ali"), "2").await;
        }
        let top_up = json!({"customer": "Ali", "amount": "900", "method": "cash"});
        world.agree::<TopUpWallet>(top_up).await.unwrap();
        for round in 0..3 {
            let all = (0..14_usize).map(|i| {
                let world = &world;
                async move {
                    let bill = ((i + round) % 12 + 1).to_string();
                    let outcome = match i % 7 {
                        0 => world
                            .agree_unchecked::<CollectPayment>(
                                json!({"customer": "Ali", "amount": "150", "method": "cash"}),
                            )
                            .await
                            .err(),
                        1 => world
                            .agree_unchecked::<CollectPayment>(
                                json!({"bill": bill, "amount": "50", "method": "wallet"}),
                            )
                            .await
                            .err(),
                        2 => world
                            .agree_unchecked::<CreateBill>(
                                json!({"customer": "Ali", "lines": [{"item": "sugar", "quantity": "1"}],
                                       "payment": {"method": "wallet", "amount": "60"}}),
                            )
                            .await
                            .err(),
                        3 => world
                            .agree_unchecked::<VoidBill>(json!({"bill": bill}))
                            .await
                            .err(),
                        4 => world
                            .agree_unchecked::<RefundPayment>(
                                json!({"bill": bill, "amount": "20", "to": "wallet"}),
                            )
                            .await
                            .err(),
                        5 => world
                            .agree_unchecked::<CreditBill>(
                                json!({"bill": bill, "lines": [{"item": "sugar", "quantity": "0.5"}]}),
                            )
                            .await
                            .err(),
                        _ => world
                            .agree_unchecked::<TopUpWallet>(
                                json!({"customer": "Ali", "amount": "70", "method": "cash"}),
                            )
                            .await
                            .err(),
                    };
                    // A refusal is an answer; a deadlock or another fault of the database is none.
                    if let Some(error) = outcome {
                        assert!(matches!(error, CallError::Refused(_)), "{error}");
                    }
                }
            });
            futures::future::join_all(all).await;
            world.check_invariants().await;
        }
        standing(&world).await;
    }

    #[tokio::test]
    async fn a_bill_can_be_paid_from_the_wallet_with_its_issue() {
        let world = stocked(World::new().await).await;
        bill(&world, Some("Ali"), "1").await;
        let top_up = json!({"customer": "Ali", "amount": "150", "method": "cash"});
        let asked = world.ask::<TopUpWallet>(top_up.clone()).await.unwrap();
        assert_eq!(
            asked.message,
            "Put RWF 150 into the wallet of Ali, paid in cash. Reply 'yes' to confirm."
        );
        let done = world.agree::<TopUpWallet>(top_up).await.unwrap();
        assert_eq!(
            done.summary,
            "Put RWF 150 into the wallet of Ali: it now holds RWF 150. Payment PAY-1."
        );
        let paid = json!({"customer": "Ali", "lines": [{"item": "sugar", "quantity": "1"}], "payment": {"method": "wallet"}});
        let done = world.agree::<CreateBill>(paid.clone()).await.unwrap();
        assert_eq!(
            done.summary,
            "Created bill INV-2 for Ali. Total: RWF 100, paid from the wallet."
        );
        let failure = refusal(world.ask::<CreateBill>(paid).await);
        assert_eq!(failure.code, FailureCode::InsufficientFunds);
        assert_eq!(
            failure.message,
            "The wallet of Ali holds RWF 50, which is not enough."
        );
        assert_eq!(standing(&world).await, (100, 50));
        let read = world.read::<GetBill>(json!({"bill": "2"})).await.unwrap();
        assert_eq!(read.bill.owed.amount_minor, 0);
        let from_wallet = json!({"customer": "Ali", "amount": "1", "method": "wallet"});
        let failure = refusal(world.ask::<TopUpWallet>(from_wallet).await);
        assert_eq!(failure.field.as_deref(), Some("method"));
        let history = world.read::<TransactionHistory>(json!({})).await.unwrap();
        let paid = history
            .movements
            .iter()
            .find(|movement| movement.text == "payment for INV-2 (PAY-2)")
            .unwrap();
        assert_eq!(
            (paid.from_account.as_str(), paid.to_account.as_str()),
            ("receivable", "wallet")
        );
    }
}
