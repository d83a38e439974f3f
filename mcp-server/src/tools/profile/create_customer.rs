//! `create_customer`: somebody new, with how to reach them.

use contracts::failure::ToolFailure;
use contracts::locale::Locale;
use contracts::tools::profile::{CreateCustomer, CreateCustomerInput, CustomerOutput};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::details::{self, NOTES_CHARS_MAX};
use crate::customers::{self, Namesake};
use crate::error::CallError;
use crate::handler::{Audit, Call, Effected, Shop, WriteTool};
use crate::phones::E164;
use crate::typed;
use crate::words::arguments::Thing;
use crate::words::profile;

/// Somebody who can be written.
struct NewCustomer {
    name: String,
    /// The person said "new customer …", so another of that name is meant.
    insisted: bool,
    phone: Option<E164>,
    email: Option<String>,
    language: Option<String>,
    notes: Option<String>,
}

impl WriteTool for CreateCustomer {
    async fn write(
        call: &mut Call<'_>,
        input: CreateCustomerInput,
    ) -> Result<Effected<CustomerOutput>, CallError> {
        let new = checked(&input, call.shop, call.locale)?;
        if let Some(phone) = &new.phone {
            details::refuse_taken(call, phone, None).await?;
        }
        if !new.insisted {
            let namesakes = customers::namesakes(call, &new.name).await?;
            refuse_same(&new, &namesakes, call.locale)?;
        }
        let (tenant, id) = (call.tenant(), call.new_id());
        if !insert(call.conn, tenant, id, &new, call.now).await? {
            if let Some(phone) = &new.phone {
                // Somebody was faster. Their row is visible to the next statement.
                details::refuse_taken(call, phone, None).await?;
            }
            return Err(CallError::Broken(
                "a customer was neither written nor there already".to_owned(),
            ));
        }
        let customer = details::load(call.conn, tenant, id).await?;
        Ok(Effected {
            audit: Audit {
                subject: format!("customer:{id}"),
                before: None,
                after: Some(json!(customer)),
            },
            output: CustomerOutput {
                summary: profile::created(call.locale, &customer),
                customer,
            },
            events: Vec::new(),
        })
    }
}

fn checked(
    input: &CreateCustomerInput,
    shop: &Shop,
    locale: Locale,
) -> Result<NewCustomer, ToolFailure> {
    let (name, insisted) = customers::new_name(&input.name, "name", locale)?;
    let phone = |text: &String| typed::phone(text, shop, "phone", locale);
    let email = |text: &String| typed::email(text, "email", locale);
    let language = |text: &String| typed::language(text, "language", locale);
    let notes = |text: &String| typed::text(text, Thing::Notes, "notes", NOTES_CHARS_MAX, locale);
    Ok(NewCustomer {
        name,
        insisted,
        phone: input.phone.as_ref().map(phone).transpose()?,
        email: input.email.as_ref().map(email).transpose()?,
        language: input.language.as_ref().map(language).transpose()?,
        notes: input
            .notes
            .as_ref()
            .map(notes)
            .transpose()?
            .filter(|notes| !notes.is_empty()),
    })
}

/// People of one name are told apart by their numbers. Where that cannot be done, the person has to say that another one is meant.
fn refuse_same(
    new: &NewCustomer,
    namesakes: &[Namesake],
    locale: Locale,
) -> Result<(), ToolFailure> {
    let told_apart = new.phone.is_some() && namesakes.iter().all(|n| n.has_phone);
    if namesakes.is_empty() || told_apart {
        return Ok(());
    }
    let candidates = namesakes.iter().map(|n| n.candidate.clone()).collect();
    Err(profile::name_taken(locale, &new.name, candidates))
}

/// Whether it was written; not when the number is somebody's.
async fn insert(
    conn: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    new: &NewCustomer,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into shop.customers (tenant_id, id, name, phone_e164, email, locale, notes, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (tenant_id, phone_e164) where phone_e164 is not null and deleted_at is null do nothing",
        tenant,
        id,
        new.name,
        new.phone.as_ref().map(E164::as_str),
        new.email,
        new.language,
        new.notes,
        now
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use serde_json::Value;

    use super::*;
    use crate::testing::{World, refusal};

    async fn refused(world: &World, input: Value) -> ToolFailure {
        refusal(world.write::<CreateCustomer>(input).await)
    }

    #[tokio::test]
    async fn somebody_new_is_written_as_they_can_be_reached() {
        let mut world = World::new().await;
        let beatriz = json!({"name": "beatriz uwase", "phone": "0788 123-456", "email": "bea@Example.com", "language": "es",
                             "notes": "Pays on Fridays.\nLikes brown rice."});
        let made = world.write::<CreateCustomer>(beatriz).await.unwrap();
        assert_eq!(
            made.summary,
            "Added customer Beatriz Uwase: +250788123456, bea@example.com."
        );
        let view = made.customer;
        assert_eq!(view.phone.as_deref(), Some("+250788123456"));
        assert_eq!(
            view.notes.as_deref(),
            Some("Pays on Fridays.\nLikes brown rice.")
        );
        assert_eq!((view.language.as_deref(), view.version), (Some("es"), 1));
        world.locale = Locale::Es;
        let bare = world
            .write::<CreateCustomer>(json!({"name": "Zoé"}))
            .await
            .unwrap();
        assert_eq!(bare.summary, "Cliente añadido: Zoé.");
    }

    #[tokio::test]
    async fn a_number_belongs_to_one_person() {
        let world = World::new().await;
        world
            .write::<CreateCustomer>(json!({"name": "Ali", "phone": "0788123456"}))
            .await
            .unwrap();
        let failure = refused(&world, json!({"name": "Omar", "phone": "+250 788 123 456"})).await;
        assert_eq!(failure.code, FailureCode::AlreadyExists);
        assert_eq!(failure.message, "+250788123456 is Ali's number already.");
        assert_eq!(failure.field.as_deref(), Some("phone"));
        assert_eq!(failure.candidates[0].name, "Ali (+250788123456)");
        let at_once = futures::future::join_all((0..8).map(|i| {
            let name = format!("Person {i}");
            world.write::<CreateCustomer>(json!({"name": name, "phone": "0788000111"}))
        }))
        .await;
        let (made, refused): (Vec<_>, Vec<_>) = at_once.into_iter().partition(Result::is_ok);
        assert_eq!((made.len(), refused.len()), (1, 7));
        for one in refused {
            assert_eq!(refusal(one).code, FailureCode::AlreadyExists);
        }
    }

    #[tokio::test]
    async fn people_of_one_name_are_told_apart_or_insisted_on() {
        let world = World::new().await;
        let ali = |members: Value| {
            let mut input = json!({"name": "Ali"});
            input
                .as_object_mut()
                .unwrap()
                .extend(members.as_object().unwrap().clone());
            input
        };
        world.write::<CreateCustomer>(ali(json!({}))).await.unwrap();
        for again in [json!({}), json!({"phone": "0788123456"})] {
            let failure = refused(&world, ali(again)).await;
            assert_eq!(failure.code, FailureCode::AlreadyExists);
            assert_eq!(
                failure.message,
                "There is a customer Ali already. For somebody else of that name, say 'new customer Ali'."
            );
        }
        let insisted = json!({"name": "new customer ali", "phone": "0788123456"});
        let second = world.write::<CreateCustomer>(insisted).await.unwrap();
        assert_eq!(second.customer.name, "Ali");
        let people = "select count(*) from shop.customers where name = 'Ali'";
        assert_eq!(world.number(people).await, 2);
    }

    #[tokio::test]
    async fn what_cannot_be_is_refused_with_the_argument_named() {
        let world = World::with(|shop| shop.country = None).await;
        for (input, field) in [
            (json!({"name": " "}), "name"),
            (json!({"name": "x".repeat(121)}), "name"),
            (json!({"name": "Ali\u{202e}"}), "name"),
            (json!({"name": "Ali", "phone": "0788123456"}), "phone"),
            (json!({"name": "Ali", "phone": "call me"}), "phone"),
            (json!({"name": "Ali", "email": "ali@"}), "email"),
            (json!({"name": "Ali", "language": "español"}), "language"),
            (json!({"name": "Ali", "notes": "x".repeat(1001)}), "notes"),
        ] {
            let failure = refused(&world, input).await;
            assert_eq!(failure.code, FailureCode::InvalidArguments);
            assert_eq!(failure.field.as_deref(), Some(field), "{}", failure.message);
        }
        assert_eq!(world.number("select count(*) from shop.customers").await, 0);
    }
}
