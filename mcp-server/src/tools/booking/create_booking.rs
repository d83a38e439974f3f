//! `create_booking`: a time for somebody, held while the question is open and booked once they agree.

use chrono::{DateTime, Utc};
use contracts::confirmation::PreviewLine;
use contracts::tools::booking::{BookingOutput, CreateBooking, CreateBookingInput};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::bookings::claims::{self, Claim};
use crate::bookings::wanted::{self, Ask, Verdict, Wanted, Whose};
use crate::bookings::{self, SERIES, traced};
use crate::customers::{self, Buyer, Customer};
use crate::error::CallError;
use crate::handler::{Audit, Call, CommitTool, Effected, Open, Prepared};
use crate::phones::{self, E164};
use crate::words::arguments::Thing;
use crate::words::booking::{self, For};
use crate::{confirmation, numbering, typed};

/// Longest note, characters.
const NOTES_CHARS_MAX: usize = 500;

/// A booking that only has to be written.
pub struct Plan {
    wanted: Wanted,
    buyer: Option<Buyer>,
    phone: Option<String>,
    notes: String,
}

impl Plan {
    fn customer(&self) -> Option<&str> {
        self.buyer.as_ref().map(name_of)
    }

    fn whose(&self) -> Whose<'_> {
        Whose {
            customer: self.customer(),
            phone: self.phone.as_deref(),
            moving: None,
        }
    }

    fn claim(&self, confirmation: Option<Uuid>, expires_at: DateTime<Utc>) -> Claim<'_> {
        Claim {
            confirmation,
            moving: None,
            expires_at,
            customer: self.customer(),
            phone: self.phone.as_deref(),
        }
    }

    fn when(&self, call: &Call<'_>) -> String {
        let zone = self.wanted.resource.zone;
        booking::when(call.locale, self.wanted.during, zone, call.shop.time_zone)
    }

    fn prepared(self, call: &Call<'_>) -> Prepared<Plan> {
        let when = self.when(call);
        let wanted = &self.wanted;
        let resource = &wanted.resource;
        let whom = match &self.buyer {
            None => For::Nobody,
            Some(Buyer::Known(customer)) => For::Known(&customer.name),
            Some(Buyer::New { name, .. }) => For::New(name),
        };
        Prepared {
            message: booking::ask_create(
                call.locale,
                &resource.name,
                whom,
                &when,
                wanted.price,
                resource.terms,
            ),
            lines: vec![PreviewLine {
                text: format!("{} {when}", resource.name),
                amount: wanted.price,
            }],
            total: wanted.price,
            binding: json!({
                "resource_id": resource.id,
                "starts_at": wanted.during.from,
                "ends_at": wanted.during.until,
                "customer": customer_bound(self.buyer.as_ref()),
                "phone": self.phone,
                "price_minor": wanted.price.map(|p| p.amount_minor),
                "currency": wanted.price.map(|p| p.currency),
                "cancel_notice_minutes": resource.terms.notice.num_minutes(),
                "cancel_fee_bp": resource.terms.fee_bp,
            }),
            informative: json!({"resource": resource.name, "when": when, "notes": self.notes}),
            plan: self,
        }
    }
}

fn name_of(buyer: &Buyer) -> &str {
    match buyer {
        Buyer::Known(customer) => &customer.name,
        Buyer::New { name, .. } => name,
    }
}

fn customer_bound(buyer: Option<&Buyer>) -> Value {
    match buyer {
        None => Value::Null,
        Some(Buyer::Known(customer)) => json!({"id": customer.id}),
        Some(Buyer::New { name, .. }) => json!({"new": name}),
    }
}

impl CommitTool for CreateBooking {
    type Plan = Plan;

    async fn prepare(
        call: &mut Call<'_>,
        input: &CreateBookingInput,
    ) -> Result<Prepared<Plan>, CallError> {
        let notes = input.notes.as_deref().unwrap_or_default();
        let notes =
            typed::line_or_empty(notes, Thing::Notes, "notes", NOTES_CHARS_MAX, call.locale)?;
        let (buyer, phone) = party(call, input).await?;
        let ask = Ask {
            date: input.date,
            time: &input.time,
            minutes: input.minutes,
        };
        let whose = Whose {
            customer: buyer.as_ref().map(name_of),
            phone: phone.as_deref(),
            moving: None,
        };
        let wanted = wanted::find(call, input.resource.as_deref(), ask, whose).await?;
        let plan = Plan {
            wanted,
            buyer,
            phone,
            notes,
        };
        Ok(plan.prepared(call))
    }

    async fn execute(
        call: &mut Call<'_>,
        _input: CreateBookingInput,
        plan: Plan,
    ) -> Result<Effected<BookingOutput>, CallError> {
        let customer = customer(call, &plan).await?;
        let expires_at = confirmation::open(call)?.expires_at;
        let claim = plan.claim(call.confirmation, expires_at);
        let Some(id) = claims::hold(call, &plan.wanted, claim).await? else {
            return Err(wanted::refused(call, &plan.wanted, Verdict::Taken, plan.whose()).await);
        };
        // Last, because everybody else who wants a number waits from here on.
        let tenant = call.tenant();
        let number = numbering::next(call.conn, tenant, SERIES).await?;
        confirm(call, id, number, customer.as_ref(), &plan).await?;

        let booked = bookings::load(call, id).await?;
        let summary = booking::created(
            call.locale,
            &booked.reference(),
            &booked.resource,
            booked.customer.as_deref(),
            &booked.when(call.shop, call.locale),
            booked.price,
        );
        let output = booked.output(summary, call);
        Ok(Effected {
            audit: Audit {
                subject: format!("booking:{id}"),
                before: None,
                after: Some(traced(&output.booking)),
            },
            events: vec![booked.event("booking.created", call)],
            output,
        })
    }

    async fn hold(call: &mut Call<'_>, plan: &Plan, open: Open) -> Result<(), CallError> {
        let claim = plan.claim(Some(open.confirmation_id), open.expires_at);
        match claims::hold(call, &plan.wanted, claim).await? {
            Some(_) => Ok(()),
            None => Err(wanted::refused(call, &plan.wanted, Verdict::Taken, plan.whose()).await),
        }
    }

    async fn release(
        conn: &mut PgConnection,
        tenant: Uuid,
        confirmation_id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<(), CallError> {
        claims::release(conn, tenant, confirmation_id, now).await
    }
}

/// Who it is for and who to call: the customer named, else whoever has the number, else somebody new who is called by it.
async fn party(
    call: &mut Call<'_>,
    input: &CreateBookingInput,
) -> Result<(Option<Buyer>, Option<String>), CallError> {
    if call.caller.confined_to().is_some() {
        // She is reached by the number the shop knows of her.
        let own = customers::whose(call, None, "customer").await?;
        return Ok((own.map(Buyer::Known), None));
    }
    let phone = match &input.phone {
        None => None,
        Some(text) => Some(
            phones::read(text, call.shop.country).map_err(|_| booking::bad_phone(call.locale))?,
        ),
    };
    let tenant = call.tenant();
    let owner = match &phone {
        Some(phone) => customers::by_phone(call.conn, tenant, phone).await?,
        None => None,
    };
    let phone = phone.map(E164::into_string);
    let buyer = match (&input.customer, owner, &phone) {
        (None, Some(owner), _) => Some(Buyer::Known(owner)),
        (None, None, Some(phone)) => Some(Buyer::New {
            name: phone.clone(),
            insisted: false,
        }),
        (None, None, None) => None,
        (Some(name), owner, _) => {
            let buyer = customers::buyer(call, name, "customer").await?;
            refuse_other(call, &buyer, owner.as_ref(), phone.as_deref())?;
            Some(buyer)
        }
    };
    Ok((buyer, phone))
}

fn refuse_other(
    call: &Call<'_>,
    buyer: &Buyer,
    owner: Option<&Customer>,
    phone: Option<&str>,
) -> Result<(), CallError> {
    let (Some(owner), Some(phone)) = (owner, phone) else {
        return Ok(());
    };
    if matches!(buyer, Buyer::Known(customer) if customer.id == owner.id) {
        return Ok(());
    }
    let name = name_of(buyer);
    Err(booking::phone_of_another(call.locale, phone, &owner.name, name).into())
}

/// The customer, written if new. Before anything else is locked.
async fn customer(call: &mut Call<'_>, plan: &Plan) -> Result<Option<Customer>, CallError> {
    let (name, insisted) = match &plan.buyer {
        None => return Ok(None),
        Some(Buyer::Known(customer)) => return Ok(Some(customer.clone())),
        Some(Buyer::New { name, insisted }) => (name, *insisted),
    };
    let customer = customers::create(call, name, insisted).await?;
    if let Some(phone) = &plan.phone {
        give_phone(call, customer.id, phone).await?;
    }
    Ok(Some(customer))
}

/// Somebody else may have been given the number in this very moment: then it stays theirs, and the booking keeps it anyway.
async fn give_phone(call: &mut Call<'_>, id: Uuid, phone: &str) -> Result<(), CallError> {
    let tenant = call.tenant();
    let mut savepoint = call.conn.begin().await?;
    match update_phone(&mut savepoint, tenant, id, phone)
        .await
        .map_err(CallError::from)
    {
        Ok(()) => Ok(savepoint.commit().await?),
        Err(error) if error.constraint() == Some("customers_phone") => {
            Ok(savepoint.rollback().await?)
        }
        Err(error) => Err(error),
    }
}

async fn confirm(
    call: &mut Call<'_>,
    id: Uuid,
    number: i64,
    customer: Option<&Customer>,
    plan: &Plan,
) -> Result<(), CallError> {
    let tenant = call.tenant();
    let confirmed =
        update_to_confirmed(call.conn, tenant, id, number, customer, plan, call.now).await?;
    if confirmed {
        Ok(())
    } else {
        Err(CallError::Broken(format!("hold {id} is gone")))
    }
}

async fn update_phone(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    phone: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.customers set phone_e164 = $3 where tenant_id = $1 and id = $2 and phone_e164 is null",
        tenant,
        id,
        phone
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The price and the terms are those agreed to, which the hold may have been made before.
async fn update_to_confirmed(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    number: i64,
    customer: Option<&Customer>,
    plan: &Plan,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let price = plan.wanted.price;
    let terms = plan.wanted.resource.terms;
    let done = sqlx::query!(
        "update shop.bookings
         set status = 'confirmed', hold_expires_at = null, number = $3, customer_id = $4, customer_name = $5, phone_e164 = $6, notes = $7,
             price = $8, currency = $9, cancel_notice_minutes = $10, cancel_fee_bp = $11, changed_at = $12
         where tenant_id = $1 and id = $2 and status = 'held'",
        tenant,
        id,
        number,
        customer.map(|c| c.id),
        customer.map(|c| c.name.as_str()),
        plan.phone,
        plan.notes,
        price.map(|p| p.amount_minor),
        price.map(|p| p.currency.code()),
        i32::try_from(terms.notice.num_minutes()).unwrap_or(i32::MAX),
        terms.fee_bp,
        now
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}
