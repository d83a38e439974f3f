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
    if (&parts, to_wallet_minor) != (&plan.parts, plan.to_wallet_minor) {
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
    if let Some(name) = &input.customer {
        let customer = customers::known(call, name, "customer").await?;
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
