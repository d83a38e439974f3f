//! `billing_create_bill`: takes goods from stock, numbers a bill and records what is owed and paid, all at once or not at all.

use chrono::NaiveDate;
use contracts::confirmation::PreviewLine;
use contracts::failure::ToolFailure;
use contracts::locale::Locale;
use contracts::money::Money;
use contracts::quantity::Exact;
use contracts::tools::billing::{
    BillLine, BillOutput, BillPayment, BillStatus, CreateBill, CreateBillInput,
};
use contracts::tools::payment::PaymentMethod;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::bills::owed::{self, Part};
use crate::catalogue::{self, Asked, Entered, Item};
use crate::customers::{self, Buyer};
use crate::error::CallError;
use crate::handler::{Audit, Call, CommitTool, Effected, Event, Prepared, Shop};
use crate::ledger::{self, Desk};
use crate::payments::way::{self, Way};
use crate::payments::{self, Direction, NewPayment, Payment};
use crate::pricing::{self, Goods, Priced, PricedLine, Unpriceable};
use crate::stock::{self, Level, Movement, Occasion, Reason, Wanted};
use crate::words::arguments::{self, Thing};
use crate::words::billing::{self, For, Sum};
use crate::words::inventory::{self, Purpose};
use crate::words::payment as said;
use crate::{bills, days, numbering, providers, typed};

/// Most lines of one bill.
const LINES_MAX: usize = 100;

/// A bill that is worked out and only has to be written.
pub struct Plan {
    buyer: Option<Buyer>,
    lines: Vec<PlannedLine>,
    priced: Priced,
    due_on: Option<NaiveDate>,
    paying: Option<Paying>,
}

/// How the bill is paid with its issue.
struct Paying {
    amount: Money,
    way: Way,
}

struct PlannedLine {
    item: Item,
    entered: Entered,
    unit_price_minor: Decimal,
    /// The path of the quantity: `lines[0].quantity`.
    field: String,
}

impl CommitTool for CreateBill {
    type Plan = Plan;

    async fn prepare(
        call: &mut Call<'_>,
        input: &CreateBillInput,
    ) -> Result<Prepared<Plan>, CallError> {
        let (shop, locale) = (call.shop, call.locale);
        typed::same_currency(input.currency.as_deref(), shop, "currency", locale)?;
        if input.lines.is_empty() || input.lines.len() > LINES_MAX {
            return Err(billing::bad_line_count(locale, LINES_MAX).into());
        }
        let today = days::day_of(call.now, shop.time_zone);
        let due_on = due_on(input.due_on, today, locale)?;
        let lines = planned_lines(call, &input.lines).await?;
        let discount = input
            .discount
            .map(|d| typed::amount(d, Thing::Discount, shop, "discount", locale))
            .transpose()?;
        let priced = priced(&lines, discount, shop, locale)?;
        let total = Money::minor(priced.total_minor, shop.currency);
        let amount = input
            .payment
            .as_ref()
            .map(|payment| amount_paid(payment, total, shop, locale))
            .transpose()?;
        refuse_shortage(&lines, level_of, locale)?;
        let buyer = match &input.customer {
            Some(name) => Some(customers::buyer(call, name, "customer").await?),
            None => None,
        };
        let paying = match input.payment.as_ref().zip(amount) {
            Some((payment, amount)) => Some(paying(call, payment, amount, buyer.as_ref()).await?),
            None => None,
        };
        let plan = Plan {
            buyer,
            lines,
            priced,
            due_on,
            paying,
        };
        Ok(plan.prepared(shop, locale))
    }

    async fn execute(
        call: &mut Call<'_>,
        _input: CreateBillInput,
        plan: Plan,
    ) -> Result<Effected<BillOutput>, CallError> {
        let customer = match &plan.buyer {
            None => None,
            Some(Buyer::Known(customer)) => Some(customer.clone()),
            Some(Buyer::New { name, insisted }) => {
                Some(customers::create(call, name, *insisted).await?)
            }
        };
        if let Some(customer) = &customer {
            let tenant = call.tenant();
            owed::before_a_bill(call.conn, tenant, customer.id).await?;
        }
        let bill_id = call.new_id();
        let mut events = take_goods(call, bill_id, &plan).await?;
        let payment = write_bill(call, bill_id, customer.as_ref(), &plan).await?;

        let bill = bills::load(call, bill_id).await?;
        let method = plan
            .paying
            .as_ref()
            .map_or(PaymentMethod::Cash, |p| p.way.method);
        let summary = billing::created(
            call.locale,
            &bill.number,
            bill.customer.as_deref(),
            bill.total,
            bill.paid,
            method,
        );
        let mut output = bill.output(summary, call.locale);
        events.insert(0, bill.event("bill.issued"));
        if let Some(payment) = payment {
            if payment.provider.is_some() {
                let view = payment.view(bill.customer.as_deref(), &[], None);
                let asked = said::asked_with_bill(call.locale, &view);
                output.summary = format!("{} {asked}", output.summary);
                output.pending = Some(view);
                events.push(payment.event("payment.pending"));
                let tenant = call.tenant();
                let pending = payments::as_pending(call.conn, tenant, payment).await?;
                providers::request(call, &pending).await?;
            } else {
                events.push(payment.event("payment.settled"));
            }
        }
        Ok(Effected {
            audit: Audit {
                subject: format!("bill:{bill_id}"),
                before: None,
                after: Some(json!(output.bill)),
            },
            events,
            output,
        })
    }
}

fn due_on(
    due_on: Option<NaiveDate>,
    today: NaiveDate,
    locale: Locale,
) -> Result<Option<NaiveDate>, ToolFailure> {
    let Some(due_on) = due_on else {
        return Ok(None);
    };
    if due_on < today {
        return Err(billing::due_in_the_past(locale, due_on, today));
    }
    if days::end_of(due_on, chrono_tz::UTC).is_none() {
        return Err(arguments::bad_day(locale, "due_on"));
    }
    Ok(Some(due_on))
}

async fn planned_lines(
    call: &mut Call<'_>,
    lines: &[BillLine],
) -> Result<Vec<PlannedLine>, CallError> {
    let fields: Vec<String> = (0..lines.len())
        .map(|i| format!("lines[{i}].item"))
        .collect();
    let asked: Vec<Asked<'_>> = lines
        .iter()
        .zip(&fields)
        .map(|(line, field)| Asked {
            name: &line.item,
            field,
        })
        .collect();
    let items = catalogue::find(call, &asked).await?;
    lines
        .iter()
        .zip(items)
        .enumerate()
        .map(|(i, (line, item))| Ok(planned_line(i, line, item, call.shop, call.locale)?))
        .collect()
}

fn planned_line(
    i: usize,
    line: &BillLine,
    item: Item,
    shop: &Shop,
    locale: Locale,
) -> Result<PlannedLine, ToolFailure> {
    let field = format!("lines[{i}].quantity");
    if !line.quantity.is_positive() {
        return Err(arguments::not_positive(locale, Thing::Quantity, &field));
    }
    let entered = item.counting().read(
        line.quantity,
        line.unit.as_deref(),
        &field,
        &format!("lines[{i}].unit"),
        locale,
    )?;
    let unit_price_minor = match line.unit_price {
        Some(price) => {
            typed::unit_price_minor(price, shop, &format!("lines[{i}].unit_price"), locale)?
        }
        None => item.unit_price_minor,
    };
    Ok(PlannedLine {
        item,
        entered,
        unit_price_minor,
        field,
    })
}

fn priced(
    lines: &[PlannedLine],
    discount: Option<Money>,
    shop: &Shop,
    locale: Locale,
) -> Result<Priced, ToolFailure> {
    let goods: Vec<Goods> = lines
        .iter()
        .map(|line| Goods {
            quantity: line.entered.quantity,
            unit_price_minor: line.unit_price_minor,
            tax_bp: line.item.tax_bp,
        })
        .collect();
    let discount_minor = discount.map_or(0, |d| d.amount_minor);
    pricing::price(&goods, discount_minor, shop.tax_inclusive, shop.currency).map_err(|why| {
        match why {
            Unpriceable::Line(i) => {
                arguments::too_large(locale, Thing::LineAmount, &lines[i].field)
            }
            Unpriceable::Total => arguments::too_large(locale, Thing::Total, "lines"),
            Unpriceable::Discount { subtotal_minor } => {
                billing::discount_too_large(locale, Money::minor(subtotal_minor, shop.currency))
            }
        }
    })
}

fn amount_paid(
    payment: &BillPayment,
    total: Money,
    shop: &Shop,
    locale: Locale,
) -> Result<Money, ToolFailure> {
    if total.amount_minor == 0 {
        return Err(billing::nothing_to_pay(locale));
    }
    let Some(amount) = payment.amount else {
        return Ok(total);
    };
    let paid = typed::amount(amount, Thing::Payment, shop, "payment.amount", locale)?;
    if paid.amount_minor == 0 {
        return Err(arguments::not_positive(
            locale,
            Thing::Payment,
            "payment.amount",
        ));
    }
    if paid.amount_minor > total.amount_minor {
        return Err(billing::payment_too_large(locale, total));
    }
    Ok(paid)
}

async fn paying(
    call: &mut Call<'_>,
    payment: &BillPayment,
    amount: Money,
    buyer: Option<&Buyer>,
) -> Result<Paying, CallError> {
    let known = match buyer {
        Some(Buyer::Known(customer)) => Some(customer),
        Some(Buyer::New { .. }) | None => None,
    };
    if payment.method == PaymentMethod::Wallet {
        let Some(customer) = known else {
            return Err(said::wallet_of_nobody(call.locale, "payment.method").into());
        };
        let (field, minor) = ("payment.amount", amount.amount_minor);
        way::holds(call, customer.id, &customer.name, minor, field).await?;
    }
    let phone = match &payment.phone {
        Some(text) => Some(way::phone(call, text, "payment.phone")?),
        None => None,
    };
    let direction = Direction::Collect;
    let customer_id = known.map(|customer| customer.id);
    let way = way::way(
        call,
        payment.method,
        direction,
        phone,
        customer_id,
        "payment.phone",
    )
    .await?;
    Ok(Paying { amount, way })
}

fn level_of(item: &Item) -> Level {
    Level {
        on_hand: item.on_hand,
        allow_negative: item.allow_negative,
    }
}

fn refuse_shortage(
    lines: &[PlannedLine],
    level: impl Fn(&Item) -> Level,
    locale: Locale,
) -> Result<(), ToolFailure> {
    let wanted: Vec<Wanted<'_>> = lines
        .iter()
        .map(|line| Wanted {
            item: &line.item,
            entered: &line.entered,
            level: level(&line.item),
            field: &line.field,
        })
        .collect();
    match stock::shortage(&wanted) {
        Some(short) => Err(stock::insufficient(locale, short, Purpose::Bill)),
        None => Ok(()),
    }
}

impl Plan {
    fn prepared(self, shop: &Shop, locale: Locale) -> Prepared<Plan> {
        let money = |amount: i64| Money::minor(amount, shop.currency);
        let lines = self.preview_lines(shop, locale);
        let texts: Vec<String> = lines.iter().map(|line| line.text.clone()).collect();
        let payment = self
            .paying
            .as_ref()
            .map(|p| said::paid_with_bill(locale, p.way.method, p.way.phone.as_deref(), p.amount));
        let sum = Sum {
            discount: money(self.priced.discount_minor),
            tax: money(self.priced.tax_minor),
            tax_inclusive: shop.tax_inclusive,
            total: money(self.priced.total_minor),
            due_on: self.due_on,
            payment: payment.as_deref(),
        };
        let buyer = match &self.buyer {
            None => For::Counter,
            Some(Buyer::Known(customer)) => For::Known(&customer.name),
            Some(Buyer::New { name, .. }) => For::New(name),
        };
        Prepared {
            message: billing::ask_create(locale, buyer, &texts, &sum),
            total: Some(sum.total),
            binding: self.binding(shop),
            informative: self.informative(shop, locale),
            lines,
            plan: self,
        }
    }

    fn preview_lines(&self, shop: &Shop, locale: Locale) -> Vec<PreviewLine> {
        self.lines
            .iter()
            .zip(&self.priced.lines)
            .map(|(line, priced)| {
                let gross = Money::minor(priced.gross_minor, shop.currency);
                PreviewLine {
                    text: billing::line(
                        locale,
                        &line.entered.entered,
                        &line.item.name,
                        line.item.unit.code,
                        line.unit_price_minor,
                        gross,
                    ),
                    amount: Some(gross),
                }
            })
            .collect()
    }

    /// What is agreed to. Numbers are their shortest spelling, so that equal agreements are equal values.
    fn binding(&self, shop: &Shop) -> Value {
        let lines: Vec<Value> = self
            .lines
            .iter()
            .zip(&self.priced.lines)
            .map(|(line, priced)| {
                json!({
                    "item_id": line.item.id,
                    "quantity": line.entered.quantity,
                    "unit": line.item.unit.code,
                    "unit_price_minor": Exact(line.unit_price_minor),
                    "gross_minor": priced.gross_minor,
                    "discount_minor": priced.discount_minor,
                    "tax_minor": priced.tax_minor,
                })
            })
            .collect();
        let customer = match &self.buyer {
            None => Value::Null,
            Some(Buyer::Known(customer)) => json!({"id": customer.id}),
            Some(Buyer::New { name, .. }) => json!({"new": name}),
        };
        json!({
            "customer": customer,
            "lines": lines,
            "discount_minor": self.priced.discount_minor,
            "tax_minor": self.priced.tax_minor,
            "tax_inclusive": shop.tax_inclusive,
            "total_minor": self.priced.total_minor,
            "currency": shop.currency,
            "due_on": self.due_on,
            "payment": self.paying.as_ref().map(|p| json!({"method": p.way.method, "amount_minor": p.amount.amount_minor, "phone": p.way.phone})),
        })
    }

    /// Stock before and after, and prices that are not the usual ones.
    fn informative(&self, shop: &Shop, locale: Locale) -> Value {
        let mut stock: Vec<(&Item, Decimal)> = Vec::new();
        for line in &self.lines {
            let taken = line.entered.quantity.0;
            match stock.iter_mut().find(|(item, _)| item.id == line.item.id) {
                Some((_, sum)) => *sum += taken,
                None => stock.push((&line.item, taken)),
            }
        }
        let stock: Vec<Value> = stock
            .into_iter()
            .map(|(item, taken)| {
                let after = Exact((item.on_hand.0 - taken).normalize());
                json!({"item": item.name, "before": item.measure(item.on_hand).text, "after": item.measure(after).text})
            })
            .collect();
        let notes: Vec<String> = self
            .lines
            .iter()
            .filter(|line| line.unit_price_minor != line.item.unit_price_minor)
            .map(|line| {
                billing::other_price(locale, &line.item.name, &line.item.price_text(shop, locale))
            })
            .collect();
        json!({"stock": stock, "notes": notes})
    }

    fn paid_minor(&self) -> i64 {
        self.paying
            .as_ref()
            .filter(|paying| paying.way.provider.is_none())
            .map_or(0, |paying| paying.amount.amount_minor)
    }

    fn new_payment(&self, id: Uuid, bill_id: Uuid, customer: Option<Uuid>) -> Option<NewPayment> {
        let Paying { amount, way } = self.paying.as_ref()?;
        let amount_minor = amount.amount_minor;
        let mut payment = NewPayment::incoming(
            id,
            Direction::Collect,
            way.method,
            way.provider,
            amount_minor,
        );
        payment.customer_id = customer;
        payment.bill_id = Some(bill_id);
        payment.phone.clone_from(&way.phone);
        if way.provider.is_none() {
            payment.parts.push(Part {
                bill_id,
                number: String::new(),
                owner: customer,
                amount_minor,
            });
        }
        Some(payment)
    }

    /// What tells others that an item has run low: it was above its level before, and is no longer.
    fn ran_low(&self, before: impl Fn(&Item) -> Level) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        for (i, line) in self.lines.iter().enumerate() {
            let item = &line.item;
            let same = |other: &&PlannedLine| other.item.id == item.id;
            let (Some(low), false) = (
                item.low_stock_level,
                self.lines[..i].iter().any(|l| same(&l)),
            ) else {
                continue;
            };
            let taken: Decimal = self
                .lines
                .iter()
                .filter(same)
                .map(|l| l.entered.quantity.0)
                .sum();
            let before = before(item).on_hand;
            let after = Exact((before.0 - taken).normalize());
            if before.0 > low.0 && after.0 <= low.0 {
                events.push(Event {
                    topic: "stock.low",
                    subject: format!("item:{}", item.id),
                    data: json!({"item_id": item.id, "item": item.name, "stock": item.measure(after), "low_stock_level": item.measure(low)}),
                });
            }
        }
        events
    }

    /// Where the bill stands from its first moment: nothing is owed on a bill that comes to nothing.
    fn status(&self) -> BillStatus {
        if self.paid_minor() == self.priced.total_minor {
            BillStatus::Paid
        } else {
            BillStatus::Open
        }
    }
}

/// Locks the levels, checks them as they are now, and moves the goods out.
async fn take_goods(
    call: &mut Call<'_>,
    bill_id: Uuid,
    plan: &Plan,
) -> Result<Vec<Event>, CallError> {
    let tenant = call.tenant();
    let mut ids: Vec<Uuid> = plan.lines.iter().map(|line| line.item.id).collect();
    ids.sort_unstable();
    ids.dedup();
    let levels = stock::lock(call.conn, tenant, &ids).await?;
    let now = |item: &Item| {
        levels
            .get(&item.id)
            .copied()
            .unwrap_or_else(|| level_of(item))
    };
    refuse_shortage(&plan.lines, now, call.locale)?;
    let movements: Vec<Movement> = plan
        .lines
        .iter()
        .map(|line| Movement::out(line.item.id, &line.entered))
        .collect();
    for line in &plan.lines {
        let (on_hand, out) = (now(&line.item).on_hand, -line.entered.quantity.0);
        stock::fits(on_hand, out, &line.field, call.locale)?;
    }
    let occasion = Occasion {
        reason: Reason::Sale,
        bill_id: Some(bill_id),
        actor: &call.caller.subject,
        at: call.now,
    };
    stock::apply(call.conn, tenant, occasion, &movements, call.locale).await?;
    Ok(plan.ran_low(now))
}

/// Posts to the ledger, takes the numbers, and writes bill, lines and payment.
async fn write_bill(
    call: &mut Call<'_>,
    bill_id: Uuid,
    customer: Option<&customers::Customer>,
    plan: &Plan,
) -> Result<Option<Payment>, CallError> {
    let (tenant, desk) = (call.tenant(), Desk::of(call));
    let owner = customer.map(|c| c.id);
    let payment = plan.new_payment(call.new_id(), bill_id, owner);
    let issue = ledger::issue(
        bill_id,
        owner,
        plan.priced.total_minor,
        plan.priced.tax_minor,
    );
    let transfer_ids = payments::post(call.conn, desk, bill_id, payment.as_slice(), &issue)
        .await
        .map_err(|error| way::floor_met(call, error))?;
    // Last, because everybody else who wants a number waits from here on.
    let wanted = [
        (numbering::BILLS, 1),
        (numbering::PAYMENTS, payment.as_slice().len()),
    ];
    let [number, payment_number] = numbering::next_of(call.conn, tenant, wanted).await?;
    insert_bill(call, bill_id, number, customer, plan).await?;
    let written = insert_lines(call.conn, tenant, bill_id, plan).await?;
    let mut line_numbers = 1_i16..;
    let gone = plan
        .lines
        .iter()
        .find(|_| line_numbers.next().is_some_and(|n| !written.contains(&n)));
    if let Some(gone) = gone {
        // The item was archived between the question's second look and the lock: all of this is rolled back.
        let name = &gone.item.name;
        return Err(inventory::unknown_item(call.locale, name, "lines", Vec::new()).into());
    }
    match payment {
        Some(payment) => {
            let transfer_id = transfer_ids.first().copied().flatten();
            payments::record(call.conn, desk, &payment, payment_number, transfer_id)
                .await
                .map(Some)
        }
        None => Ok(None),
    }
}

async fn insert_bill(
    call: &mut Call<'_>,
    bill_id: Uuid,
    number: i64,
    customer: Option<&customers::Customer>,
    plan: &Plan,
) -> Result<(), sqlx::Error> {
    let tenant = call.tenant();
    sqlx::query!(
        "insert into shop.bills (tenant_id, id, series, number, status, customer_id, customer_name, currency, tax_inclusive,
                                 subtotal, discount, tax, total, paid, due_on, issued_at, issued_by)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        tenant,
        bill_id,
        numbering::BILLS,
        number,
        plan.status().word(),
        customer.map(|c| c.id),
        customer.map(|c| c.name.as_str()),
        call.shop.currency.code(),
        call.shop.tax_inclusive,
        plan.priced.subtotal_minor,
        plan.priced.discount_minor,
        plan.priced.tax_minor,
        plan.priced.total_minor,
        plan.paid_minor(),
        plan.due_on,
        call.now,
        call.caller.subject
    )
    .execute(&mut *call.conn)
    .await?;
    Ok(())
}

/// Writes the lines of items that are still on sale, and says which. Whoever archives an item waits for its level, which this bill holds.
async fn insert_lines(
    conn: &mut PgConnection,
    tenant: Uuid,
    bill_id: Uuid,
    plan: &Plan,
) -> Result<Vec<i16>, sqlx::Error> {
    let of = |part: fn(&PlannedLine) -> Decimal| plan.lines.iter().map(part).collect::<Vec<_>>();
    let texts = |part: fn(&PlannedLine) -> &str| {
        let texts = plan.lines.iter().map(|line| part(line).to_owned());
        texts.collect::<Vec<String>>()
    };
    let minor = |part: fn(&PricedLine) -> i64| {
        let amounts = plan.priced.lines.iter().map(part);
        amounts.collect::<Vec<i64>>()
    };
    let item_ids: Vec<Uuid> = plan.lines.iter().map(|line| line.item.id).collect();
    let tax_bp: Vec<i32> = plan.lines.iter().map(|line| line.item.tax_bp).collect();
    sqlx::query_scalar!(
        "insert into shop.bill_lines (tenant_id, bill_id, line_no, item_id, description, entered_quantity, entered_unit, quantity, unit,
                                      unit_price, gross, discount, tax_bp, tax)
         select $1, $2, l.line_no::smallint, l.item_id, l.description, l.entered_quantity, l.entered_unit, l.quantity, l.unit,
                l.unit_price, l.gross, l.discount, l.tax_bp, l.tax
         from unnest($3::uuid[], $4::text[], $5::numeric[], $6::text[], $7::numeric[], $8::text[], $9::numeric[], $10::bigint[],
                     $11::bigint[], $12::int[], $13::bigint[]) with ordinality
              as l (item_id, description, entered_quantity, entered_unit, quantity, unit, unit_price, gross, discount, tax_bp, tax, line_no)
         join shop.items i on i.tenant_id = $1 and i.id = l.item_id and i.archived_at is null
         returning line_no",
        tenant,
        bill_id,
        &item_ids,
        &texts(|line| &line.item.name),
        &of(|line| line.entered.entered.quantity.0),
        &texts(|line| &line.entered.entered.unit),
        &of(|line| line.entered.quantity.0),
        &texts(|line| line.item.unit.code),
        &of(|line| line.unit_price_minor),
        &minor(|line| line.gross_minor),
        &minor(|line| line.discount_minor),
        &tax_bp,
        &minor(|line| line.tax_minor)
    )
    .fetch_all(conn)
    .await
}

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use contracts::tools::billing::{GetBill, VoidBill};
    use contracts::tools::inventory::{AddItem, DeleteItem, GetItem, UpdateItem};

    use super::*;
    use crate::testing::{World, refusal};

    async fn stocked(world: World) -> World {
        for item in [
            json!({"name": "Sugar", "unit": "kg", "unit_price": "160", "quantity": "20", "units": [{"unit": "bag", "quantity": "25"}]}),
            json!({"name": "Shampoo", "unit_price": "250", "quantity": "12"}),
        ] {
            world.write::<AddItem>(item).await.unwrap();
        }
        world
    }

    async fn corner_shop() -> World {
        stocked(World::new().await).await
    }

    fn for_ali() -> Value {
        json!({"customer": "Ali", "lines": [{"item": "sugar", "quantity": "2", "unit": "kg"}, {"item": "shampoos", "quantity": 1}]})
    }

    fn with(mut input: Value, members: Value) -> Value {
        let Value::Object(members) = members else {
            panic!("members of an object")
        };
        input.as_object_mut().unwrap().extend(members);
        input
    }

    fn of(item: &str, quantity: &str) -> Value {
        json!({"lines": [{"item": item, "quantity": quantity}]})
    }

    async fn stock(world: &World, item: &str) -> String {
        let found = world.read::<GetItem>(json!({"item": item})).await;
        found.unwrap().item.stock.text
    }

    #[tokio::test]
    async fn a_bill_for_ali_is_asked_about_and_written() {
        let world = corner_shop().await;
        world
            .agree::<CreateBill>(with(of("sugar", "1"), json!({"customer": "Ali"})))
            .await
            .unwrap();
        let asked = world.ask::<CreateBill>(for_ali()).await.unwrap();
        assert_eq!(
            asked.message,
            "Are you sure you want to create a bill for Ali: 2 kg Sugar @ 160 = 320, 1 Shampoo = 250 (Total: RWF 570)? \
             Reply 'yes' to confirm."
        );
        assert_eq!(asked.total.unwrap().to_string(), "RWF 570");
        assert_eq!(asked.lines[0].text, "2 kg Sugar @ 160 = 320");
        assert_eq!(
            asked.informative["stock"][0],
            json!({"item": "Sugar", "before": "19 kg", "after": "17 kg"})
        );

        assert_eq!(asked.binding["total_minor"], 570);
        let mut sugar = asked.binding["lines"][0].clone();
        sugar.as_object_mut().unwrap().remove("item_id").unwrap();
        assert_eq!(
            sugar,
            json!({"quantity": "2", "unit": "kg", "unit_price_minor": "160", "gross_minor": 320, "discount_minor": 0, "tax_minor": 0})
        );

        let done = world.agree::<CreateBill>(for_ali()).await.unwrap();
        assert_eq!(done.summary, "Created bill INV-2 for Ali. Total: RWF 570.");
        assert_eq!(
            (done.number.as_str(), done.bill.status),
            ("INV-2", BillStatus::Open)
        );
        assert_eq!(done.bill.owed.amount_minor, 570);
        assert_eq!(stock(&world, "sugar").await, "17 kg");
        assert_eq!(stock(&world, "shampoo").await, "11");
        let read = world
            .read::<GetBill>(json!({"bill": "last"}))
            .await
            .unwrap();
        assert_eq!(read.bill, done.bill);
        assert_eq!(world.number("select count(*) from shop.customers").await, 1);
    }

    #[tokio::test]
    async fn the_question_says_all_that_is_agreed_to() {
        let mut world = World::with(|shop| shop.tax_inclusive = false).await;
        world = stocked(world).await;
        world
            .arrange("update shop.items set tax_bp = 1800 where name = 'Shampoo'")
            .await;
        let input = json!({"customer": "zoe", "discount": "10", "due_on": "2026-12-01", "payment": {"method": "cash", "amount": "100"},
                           "lines": [{"item": "Sugar", "quantity": "500", "unit": "g"}, {"item": "shampoo", "quantity": "2", "unit_price": "200"}]});
        let asked = world.ask::<CreateBill>(input.clone()).await.unwrap();
        assert_eq!(
            asked.message,
            "Are you sure you want to create a bill for new customer Zoe: 500 g Sugar @ 160/kg = 80, 2 Shampoo @ 200 = 400 \
             (Discount: RWF 10, Tax: RWF 71, Total: RWF 541, Due: 2026-12-01, Paid in cash: RWF 100)? Reply 'yes' to confirm."
        );
        assert_eq!(
            asked.informative["notes"],
            json!(["Shampoo normally costs RWF 250 each."])
        );
        world.locale = Locale::Es;
        let pregunta = world.ask::<CreateBill>(input.clone()).await.unwrap();
        assert_eq!(
            pregunta.message,
            "¿Seguro que quiere crear una factura para el nuevo cliente Zoe: 500 g Sugar @ 160/kg = 80, 2 Shampoo @ 200 = 400 \
             (Descuento: RWF 10, Impuesto: RWF 71, Total: RWF 541, Vence: 2026-12-01, Pagado en efectivo: RWF 100)? \
             Responda 'sí' para confirmar."
        );
        assert_eq!(
            pregunta.binding, asked.binding,
            "the language is no part of the agreement"
        );
        let done = world.agree::<CreateBill>(input).await.unwrap();
        assert_eq!(
            done.summary,
            "Factura INV-1 creada para Zoe. Total: RWF 541, RWF 100 pagado en efectivo, quedan RWF 441."
        );
        assert_eq!(done.bill.customer.as_deref(), Some("Zoe"));
    }

    #[tokio::test]
    async fn cash_that_covers_the_total_pays_the_bill() {
        let world = corner_shop().await;
        let counter = with(of("shampoo", "2"), json!({"payment": {"method": "cash"}}));
        let asked = world.ask::<CreateBill>(counter.clone()).await.unwrap();
        assert_eq!(
            asked.message,
            "Are you sure you want to create a bill: 2 Shampoo @ 250 = 500 (Total: RWF 500, Paid in cash: RWF 500)? Reply 'yes' to confirm."
        );
        let done = world.agree::<CreateBill>(counter).await.unwrap();
        assert_eq!(
            done.summary,
            "Created bill INV-1. Total: RWF 500, paid in cash."
        );
        assert_eq!(
            (done.bill.status, done.bill.customer),
            (BillStatus::Paid, None)
        );
        let free = json!({"lines": [{"item": "shampoo", "quantity": "1", "unit_price": "0"}]});
        let done = world.agree::<CreateBill>(free).await.unwrap();
        assert_eq!(
            (done.number.as_str(), done.bill.status),
            ("INV-2", BillStatus::Paid)
        );
    }

    #[tokio::test]
    async fn money_is_exact_in_shops_with_and_without_cents() {
        let rwf = corner_shop().await;
        let done = rwf.agree::<CreateBill>(of("sugar", "0.333")).await.unwrap();
        assert_eq!(
            done.bill.lines[0].gross.amount_minor, 53,
            "53.28 rounded once"
        );
        for (currency, price, total) in
            [("KES", "12.5", "KES 41.63"), ("KWD", "0.1255", "KWD 0.418")]
        {
            let world = World::selling_in(currency).await;
            let sugar =
                json!({"name": "Sugar", "unit": "kg", "unit_price": price, "quantity": "20"});
            world.write::<AddItem>(sugar).await.unwrap();
            let done = world
                .agree::<CreateBill>(of("sugar", "3.33"))
                .await
                .unwrap();
            assert_eq!(done.bill.total.to_string(), total);
            assert_eq!(done.bill.total.currency.code(), currency);
        }
    }

    #[tokio::test]
    async fn lines_of_one_item_count_together() {
        let world = corner_shop().await;
        let lines = |a: &str, b: &str, unit: &str| json!({"lines": [{"item": "sugar", "quantity": a}, {"item": "Sugar", "quantity": b, "unit": unit}]});
        let failure = refusal(world.ask::<CreateBill>(lines("12", "12", "kg")).await);
        assert_eq!(failure.code, FailureCode::InsufficientStock);
        assert_eq!(
            failure.message,
            "Only 20 kg of Sugar in stock. Would you like to add 20 kg instead?"
        );
        assert_eq!(failure.field.as_deref(), Some("lines[1].quantity"));
        let done = world
            .agree::<CreateBill>(lines("12", "8000", "g"))
            .await
            .unwrap();
        assert_eq!(done.bill.lines.len(), 2);
        assert_eq!(stock(&world, "sugar").await, "0 kg");
        assert_eq!(
            world
                .number("select count(*) from shop.stock_movements where reason = 'sale'")
                .await,
            2
        );
    }

    #[tokio::test]
    async fn too_little_stock_answers_with_what_is_left_in_the_unit_asked_for() {
        let world = corner_shop().await;
        let ask = |quantity: &str, unit: &str| json!({"lines": [{"item": "sugar", "quantity": quantity, "unit": unit}]});
        for (quantity, unit, left) in [
            ("25", "kg", "20 kg"),
            ("25000", "g", "20000 g"),
            ("1", "bag", "0.8 bag"),
        ] {
            let failure = refusal(world.ask::<CreateBill>(ask(quantity, unit)).await);
            assert_eq!(
                failure.message,
                format!("Only {left} of Sugar in stock. Would you like to add {left} instead?")
            );
            assert_eq!(failure.field.as_deref(), Some("lines[0].quantity"));
            let offered = failure.candidates[0].stock.clone().unwrap();
            world
                .ask::<CreateBill>(ask(&offered.quantity.to_string(), &offered.unit))
                .await
                .unwrap();
        }
        world.agree::<CreateBill>(of("sugar", "20")).await.unwrap();
        let failure = refusal(world.ask::<CreateBill>(of("sugar", "1")).await);
        assert_eq!(failure.message, "There is no Sugar in stock.");
    }

    #[tokio::test]
    async fn a_changed_price_changes_what_is_agreed_to_and_another_sale_does_not() {
        let world = corner_shop().await;
        let input = with(for_ali(), json!({"customer": "Zoe"}));
        let before = world.ask::<CreateBill>(input.clone()).await.unwrap();
        world.agree::<CreateBill>(of("sugar", "5")).await.unwrap();
        let after_sale = world.ask::<CreateBill>(input.clone()).await.unwrap();
        assert_eq!(after_sale.binding, before.binding);
        assert_ne!(after_sale.informative, before.informative);
        let dearer = json!({"item": "sugar", "change": {"unit_price": "170"}});
        world.write::<UpdateItem>(dearer).await.unwrap();
        let after_price = world.ask::<CreateBill>(input.clone()).await.unwrap();
        assert_ne!(after_price.binding, before.binding);
        let cheaper = json!({"item": "sugar", "change": {"unit_price": "160.00"}});
        world.write::<UpdateItem>(cheaper).await.unwrap();
        let again = world.ask::<CreateBill>(input.clone()).await.unwrap();
        assert_eq!(again.binding, before.binding, "160.00 is 160");
        world
            .agree::<CreateBill>(with(of("sugar", "1"), json!({"customer": "Zoe"})))
            .await
            .unwrap();
        let known = world.ask::<CreateBill>(input).await.unwrap();
        assert_ne!(known.binding, before.binding, "Zoe is no longer new");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sixteen_want_the_last_one_and_one_gets_it() {
        let world = corner_shop().await;
        let soap = json!({"name": "Soap", "unit_price": "300", "quantity": "1"});
        world.write::<AddItem>(soap).await.unwrap();
        let shampoo = of("shampoo", "1");
        world.agree::<CreateBill>(shampoo).await.unwrap();
        // All have been asked while the last one was there, and all say yes at the same moment.
        let mut answers = Vec::new();
        for _ in 0..16 {
            let plan = world.ask::<CreateBill>(of("soap", "1")).await.unwrap().plan;
            answers.push((world.begin().await, plan));
        }
        let all = answers.into_iter().map(async |(mut transaction, plan)| {
            let input = serde_json::from_value(of("soap", "1")).unwrap();
            let done = world
                .execute_in::<CreateBill>(&mut transaction, input, plan)
                .await;
            if done.is_ok() {
                transaction.commit().await.unwrap();
            }
            done
        });
        let (sold, refused): (Vec<_>, Vec<_>) = futures::future::join_all(all)
            .await
            .into_iter()
            .partition(Result::is_ok);
        assert_eq!((sold.len(), refused.len()), (1, 15));
        for one in refused {
            let failure = refusal(one);
            assert_eq!(failure.code, FailureCode::InsufficientStock);
            assert_eq!(failure.message, "There is no Soap in stock.");
        }
        world.check_invariants().await;
        assert_eq!(stock(&world, "soap").await, "0");
        assert_eq!(world.number("select max(number) from shop.bills").await, 2);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn bills_that_share_items_in_any_order_neither_deadlock_nor_lose_numbers() {
        let world = corner_shop().await;
        let beans = json!({"name": "Beans", "category": "grocery", "unit": "kg", "unit_price": "700", "quantity": "5"});
        world.write::<AddItem>(beans).await.unwrap();
        let lines = [
            json!({"item": "sugar", "quantity": "0.1"}),
            json!({"item": "beans", "quantity": "0.1"}),
        ];
        let bills = (0..48).map(|i| {
            let (a, b) = (&lines[i % 2], &lines[1 - i % 2]);
            world.agree_unchecked::<CreateBill>(json!({"customer": "Grace", "lines": [a, b]}))
        });
        for done in futures::future::join_all(bills).await {
            done.unwrap();
        }
        world.check_invariants().await;
        assert_eq!(world.number("select count(*) from shop.bills").await, 48);
        assert_eq!(
            world
                .number("select count(*) from shop.customers where name = 'Grace'")
                .await,
            1,
            "one new customer, however many bills made her at once"
        );
        assert_eq!(stock(&world, "sugar").await, "15.2 kg");
    }

    #[tokio::test]
    async fn customers_are_told_apart() {
        let world = corner_shop().await;
        let bill_for = |name: &str| with(of("sugar", "0.1"), json!({"customer": name}));
        for name in [
            "Ali",
            "Beatriz Uwase",
            "Jean Bosco",
            "Jean Pierre",
            "new customer Jean Bosco",
        ] {
            world.agree::<CreateBill>(bill_for(name)).await.unwrap();
        }
        let customers = "select count(*) from shop.customers";
        assert_eq!(world.number(customers).await, 5);

        let done = world
            .agree::<CreateBill>(bill_for("BEATRÍZ"))
            .await
            .unwrap();
        assert_eq!(
            done.bill.customer.as_deref(),
            Some("Beatriz Uwase"),
            "the only one of that first name"
        );

        let failure = refusal(world.ask::<CreateBill>(bill_for("Aly")).await);
        assert_eq!(failure.code, FailureCode::AmbiguousCustomer);
        assert_eq!(
            failure.message,
            "There is no customer Aly yet. Did you mean Ali? Otherwise say 'new customer Aly'."
        );
        let asked = world
            .ask::<CreateBill>(bill_for("new customer Aly"))
            .await
            .unwrap();
        assert!(
            asked.message.contains("for new customer Aly:"),
            "{}",
            asked.message
        );

        let failure = refusal(world.ask::<CreateBill>(bill_for("jean")).await);
        assert_eq!(failure.candidates.len(), 3);
        let failure = refusal(world.ask::<CreateBill>(bill_for("Jean Bosco")).await);
        assert_eq!(failure.candidates.len(), 2);
        for candidate in failure.candidates {
            let done = world
                .agree::<CreateBill>(bill_for(&candidate.name))
                .await
                .unwrap();
            assert_eq!(
                done.bill.customer.as_deref(),
                Some("Jean Bosco"),
                "{}",
                candidate.name
            );
        }
        world
            .arrange("update shop.customers set phone_e164 = '+250788123456' where name = 'Ali'")
            .await;
        let done = world
            .agree::<CreateBill>(bill_for("+250 788-123-456"))
            .await
            .unwrap();
        assert_eq!(done.bill.customer.as_deref(), Some("Ali"));
        assert_eq!(world.number(customers).await, 5);
    }

    /// The argument at fault and what is said about it.
    async fn refused(world: &World, input: Value) -> String {
        let failure = refusal(world.ask::<CreateBill>(input).await);
        format!("{}: {}", failure.field.unwrap(), failure.message)
    }

    #[tokio::test]
    async fn a_line_that_cannot_be_billed_is_refused_by_its_place() {
        let world = corner_shop().await;
        for (member, value, said) in [
            (
                "quantity",
                json!("0"),
                "quantity: The quantity must be more than 0.",
            ),
            (
                "quantity",
                json!("-1"),
                "quantity: The quantity must be more than 0.",
            ),
            (
                "unit",
                json!("litres"),
                "unit: Sugar is counted in kg; it can also be given in g, lb or bag.",
            ),
            (
                "unit_price",
                json!("-1"),
                "unit_price: The price cannot be negative.",
            ),
            (
                "item",
                json!("caviar"),
                "item: There is no item called caviar.",
            ),
            (
                "item",
                json!("a\0b"),
                "item: The item has characters that cannot be shown.",
            ),
        ] {
            let mut line = json!({"item": "sugar", "quantity": "1"});
            line[member] = value;
            let input = json!({"lines": [{"item": "shampoo", "quantity": "1"}, line]});
            assert_eq!(refused(&world, input).await, format!("lines[1].{said}"));
        }
        let many = vec![json!({"item": "sugar", "quantity": "0.01"}); 101];
        for lines in [vec![], many] {
            assert_eq!(
                refused(&world, json!({"lines": lines})).await,
                "lines: A bill has 1 to 100 lines. Say what is sold."
            );
        }
    }

    #[tokio::test]
    async fn a_bill_that_cannot_be_is_refused_with_the_argument_named() {
        let world = corner_shop().await;
        let cash = |amount: &str| json!({"payment": {"method": "cash", "amount": amount}});
        for (members, said) in [
            (
                json!({"discount": "321"}),
                "discount: The discount is more than the lines come to (RWF 320).",
            ),
            (
                json!({"discount": "-1"}),
                "discount: The discount cannot be negative.",
            ),
            (
                json!({"discount": "0.5"}),
                "discount: The discount has more decimals than RWF has: 0 at most.",
            ),
            (
                json!({"currency": "USD"}),
                "currency: Amounts here are in RWF, not in USD.",
            ),
            (
                json!({"due_on": "2026-11-19"}),
                "due_on: The due date 2026-11-19 is in the past. Choose today or later.",
            ),
            (
                json!({"customer": " "}),
                "customer: The customer's name cannot be empty.",
            ),
            (
                cash("321"),
                "payment.amount: The payment is more than the total (RWF 320). Please record RWF 320 and give the change back.",
            ),
            (
                cash("0"),
                "payment.amount: The payment must be more than 0.",
            ),
            (
                json!({"discount": "320", "payment": {"method": "cash"}}),
                "payment: The bill comes to nothing, so there is nothing to pay.",
            ),
        ] {
            assert_eq!(refused(&world, with(of("sugar", "2"), members)).await, said);
        }
    }

    #[tokio::test]
    async fn amounts_beyond_64_bits_are_refused_and_never_a_fault() {
        let world = World::with(|shop| shop.allow_negative_stock = true).await;
        let gold = json!({"name": "Gold", "unit": "g", "unit_price": "99999999999"});
        world.write::<AddItem>(gold).await.unwrap();
        let failure = refusal(world.ask::<CreateBill>(of("gold", "999999999999")).await);
        assert_eq!(failure.message, "The amount of the line is too large.");
        let line = json!({"item": "gold", "quantity": "9000"});
        let failure = refusal(
            world
                .ask::<CreateBill>(json!({"lines": [line, line]}))
                .await,
        );
        assert_eq!(failure.message, "The total is too large.");
        let done = world.agree::<CreateBill>(of("gold", "9000")).await.unwrap();
        assert_eq!(done.bill.total.amount_minor, 899_999_999_991_000);
        assert_eq!(stock(&world, "gold").await, "-9000 g");
    }

    #[tokio::test]
    async fn an_item_archived_under_an_answer_is_not_sold() {
        let world = corner_shop().await;
        let asked = world.ask::<CreateBill>(for_ali()).await.unwrap();
        world
            .agree::<DeleteItem>(json!({"item": "shampoo"}))
            .await
            .unwrap();
        let mut transaction = world.begin().await;
        let input = serde_json::from_value(for_ali()).unwrap();
        let failure = refusal(
            world
                .execute_in::<CreateBill>(&mut transaction, input, asked.plan)
                .await,
        );
        assert_eq!(failure.message, "There is no item called Shampoo.");
        drop(transaction);
        world.check_invariants().await;
        assert_eq!(world.number("select count(*) from shop.bills").await, 0);
    }

    #[tokio::test]
    async fn goods_sold_since_the_answer_are_counted_under_the_lock() {
        let world = corner_shop().await;
        let asked = world.ask::<CreateBill>(of("sugar", "15")).await.unwrap();
        world.agree::<CreateBill>(of("sugar", "10")).await.unwrap();
        let mut transaction = world.begin().await;
        let input = serde_json::from_value(of("sugar", "15")).unwrap();
        let failure = refusal(
            world
                .execute_in::<CreateBill>(&mut transaction, input, asked.plan)
                .await,
        );
        assert_eq!(
            failure.message,
            "Only 10 kg of Sugar in stock. Would you like to add 10 kg instead?"
        );
    }

    #[tokio::test]
    async fn a_bill_that_fails_leaves_no_hole_in_the_numbers() {
        let world = corner_shop().await;
        world.agree::<CreateBill>(of("sugar", "1")).await.unwrap();
        let mut transaction = world.begin().await;
        let asked = world.ask::<CreateBill>(of("sugar", "1")).await.unwrap();
        let input = serde_json::from_value(of("sugar", "1")).unwrap();
        world
            .execute_in::<CreateBill>(&mut transaction, input, asked.plan)
            .await
            .unwrap();
        transaction.rollback().await.unwrap();
        let done = world.agree::<CreateBill>(of("sugar", "1")).await.unwrap();
        assert_eq!(done.number, "INV-2");
        world.agree::<VoidBill>(json!({"bill": "2"})).await.unwrap();
        let done = world.agree::<CreateBill>(of("sugar", "1")).await.unwrap();
        assert_eq!(done.number, "INV-3", "a void bill keeps its number");
    }

    #[tokio::test]
    async fn discounts_and_tax_stand_on_every_line() {
        let world = corner_shop().await;
        world.arrange("update shop.items set tax_bp = 1800").await;
        let done = world
            .agree::<CreateBill>(with(for_ali(), json!({"discount": "57"})))
            .await
            .unwrap();
        let discounts: Vec<i64> = done
            .bill
            .lines
            .iter()
            .map(|l| l.discount.amount_minor)
            .collect();
        assert_eq!(discounts, [32, 25]);
        let taxes: Vec<i64> = done.bill.lines.iter().map(|l| l.tax.amount_minor).collect();
        assert_eq!(taxes, [44, 34]); // 288 and 225 times 18/118
        assert_eq!(done.bill.total.amount_minor, 513);
        assert_eq!(done.bill.tax.amount_minor, 78);
    }

    #[tokio::test]
    async fn others_are_told_of_the_bill_its_payment_and_what_runs_low() {
        let world = World::new().await;
        let soap =
            json!({"name": "Soap", "unit_price": "10", "quantity": "10", "low_stock_level": "5"});
        world.write::<AddItem>(soap).await.unwrap();
        let two = json!({"item": "soap", "quantity": "2"});
        let none: [&str; 0] = [];
        for (lines, cash, low) in [
            (vec![two.clone()], false, none.as_slice()),
            (vec![two.clone(), two.clone()], true, &["stock.low"]),
            (vec![two], false, &[]),
        ] {
            let mut bill = json!({"lines": lines});
            let mut expected = [&["bill.issued"], low].concat();
            if cash {
                bill["payment"] = json!({"method": "cash"});
                expected.push("payment.settled");
            }
            assert_eq!(world.told::<CreateBill>(bill).await.unwrap(), expected);
        }
        let void = json!({"bill": "3"});
        assert_eq!(world.told::<VoidBill>(void).await.unwrap(), ["bill.voided"]);
    }
}
