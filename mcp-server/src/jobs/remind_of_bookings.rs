//! Tells others, a day and an hour before, of what somebody has booked. Whoever listens (a webhook) turns it into a message.

use chrono::{DateTime, SecondsFormat, Utc};
use contracts::ids::TenantId;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Job, Wanted};
use crate::app::App;
use crate::audit;
use crate::error::CallError;
use crate::handler::Event;
use crate::numbering;

/// Reminders of one run; the next look starts another.
const AT_ONCE: i64 = 200;

/// See the module. The job's id is the tenant's.
pub(super) struct RemindOfBookings;

impl Job for RemindOfBookings {
    const NAME: &'static str = "remind_of_bookings";

    async fn run(app: &App, tenant: TenantId, _id: Uuid) -> Result<(), CallError> {
        let now = app.clock.now();
        let mut tx = app.begin(tenant).await?;
        let reminders = remember(&mut tx, tenant, now, AT_ONCE).await?;
        let events: Vec<Event> = reminders.into_iter().map(Reminder::event).collect();
        audit::write_events(&mut tx, tenant, &*app.clock, now, &events).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Shops in which somebody is to be reminded.
pub(super) async fn due(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    most: i32,
) -> Result<Vec<Wanted>, sqlx::Error> {
    let tenants = sqlx::query_scalar!(
        r#"select tenants_with_due_reminders as "id!" from shop.tenants_with_due_reminders($1, $2)"#,
        now,
        most
    )
    .fetch_all(conn)
    .await?;
    let wanted = |tenant| Wanted::of::<RemindOfBookings>(tenant, tenant);
    Ok(tenants.into_iter().map(wanted).collect())
}

struct Reminder {
    booking_id: Uuid,
    number: i64,
    hours_before: i32,
    resource: String,
    customer: Option<String>,
    phone: Option<String>,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
}

impl Reminder {
    fn event(self) -> Event {
        let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        Event {
            topic: "booking.reminder",
            subject: format!("booking:{}", self.booking_id),
            data: json!({
                "booking_id": self.booking_id,
                "reference": numbering::shown("BK", self.number),
                "hours_before": self.hours_before,
                "resource": self.resource,
                "customer": self.customer,
                "phone": self.phone,
                "starts_at": time(self.starts_at),
                "ends_at": time(self.ends_at),
            }),
        }
    }
}

/// Notes what is told in the transaction that tells it: the row's key lets each be told once.
async fn remember(
    conn: &mut PgConnection,
    tenant: TenantId,
    now: DateTime<Utc>,
    most: i64,
) -> Result<Vec<Reminder>, sqlx::Error> {
    sqlx::query_as!(
        Reminder,
        r#"with told as (
             insert into shop.booking_reminders (tenant_id, booking_id, starts_at, hours_before, at)
             select $1, b.id, b.starts_at, r.hours, $2
             from shop.bookings b
             cross join (values (1, interval '1 hour', interval '0'), (24, interval '24 hours', interval '1 hour')) as r (hours, before, until)
             where b.tenant_id = $1 and b.status = 'confirmed'
               and b.starts_at <= $2::timestamptz + r.before and b.starts_at > $2::timestamptz + r.until and b.changed_at <= b.starts_at - r.before
               and not exists (select from shop.booking_reminders d where d.tenant_id = $1 and d.booking_id = b.id
                                 and d.starts_at = b.starts_at and d.hours_before = r.hours)
             limit $3
             on conflict do nothing
             returning booking_id, hours_before
         )
         select b.id as booking_id, b.number as "number!", told.hours_before, r.name as resource, b.customer_name as customer,
                b.phone_e164 as phone, b.starts_at, b.ends_at
         from told
         join shop.bookings b on b.tenant_id = $1 and b.id = told.booking_id
         join shop.resources r on r.tenant_id = $1 and r.id = b.resource_id
         order by b.starts_at, b.id"#,
        tenant.0,
        now,
        most
    )
    .fetch_all(conn)
    .await
}
