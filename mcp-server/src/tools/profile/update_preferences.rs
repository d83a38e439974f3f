//! `update_preferences`: what the shop knows of a customer, changed where something is given.

use std::collections::BTreeSet;

use contracts::failure::ToolFailure;
use contracts::tools::profile::{
    ContactBy, CustomerOutput, CustomerView, FavouritesChange, UpdatePreferences,
    UpdatePreferencesInput,
};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::details;
use crate::catalogue::{Asked, find};
use crate::customers;
use crate::error::CallError;
use crate::handler::{Audit, Call, Effected, WriteTool};
use crate::phones::E164;
use crate::typed::{self, CUSTOMER_CHARS_MAX};
use crate::words::arguments::{self, Thing};
use crate::words::profile;

/// Most favourites of one customer.
const FAVOURITES_MAX: usize = 20;

impl WriteTool for UpdatePreferences {
    async fn write(
        call: &mut Call<'_>,
        input: UpdatePreferencesInput,
    ) -> Result<Effected<CustomerOutput>, CallError> {
        if changes_nothing(&input) {
            return Err(profile::nothing_to_change(call.locale).into());
        }
        let id = customers::known(call, &input.customer, "customer")
            .await?
            .id;
        let tenant = call.tenant();
        lock(call.conn, tenant, id).await?;
        let before = details::load(call.conn, tenant, id).await?;
        let wanted = wanted(call, &input, &before).await?;
        if let Some(favourites) = &input.favourites {
            change_favourites(call, id, favourites).await?;
        }
        update(call.conn, tenant, &wanted)
            .await
            .map_err(|error| map_taken(error, &wanted, call))?;
        let after = details::load(call.conn, tenant, id).await?;
        Ok(Effected {
            audit: Audit {
                subject: format!("customer:{id}"),
                before: Some(json!(before)),
                after: Some(json!(after)),
            },
            output: CustomerOutput {
                summary: profile::changed(call.locale, &before, &after),
                customer: details::shown(call, after),
            },
            events: Vec::new(),
        })
    }
}

fn changes_nothing(input: &UpdatePreferencesInput) -> bool {
    let UpdatePreferencesInput {
        customer: _,
        language,
        contact,
        phone,
        email,
        favourites,
        time_zone,
        name,
    } = input;
    let fields = [language, phone, email, time_zone, name];
    let no_favourites = favourites
        .as_ref()
        .is_none_or(|f| f.add.is_empty() && f.remove.is_empty());
    fields.iter().all(|field| field.is_none()) && contact.is_none() && no_favourites
}

/// The customer's fields as they are to be, checked together.
async fn wanted(
    call: &mut Call<'_>,
    input: &UpdatePreferencesInput,
    before: &CustomerView,
) -> Result<CustomerView, CallError> {
    let (shop, locale) = (call.shop, call.locale);
    let mut wanted = before.clone();
    if let Some(name) = &input.name {
        wanted.name = typed::line(name, Thing::Customer, "name", CUSTOMER_CHARS_MAX, locale)?;
    }
    if let Some(text) = &input.phone {
        let phone = emptied(text, |text| typed::phone(text, shop, "phone", locale))?;
        if let Some(phone) = &phone {
            details::refuse_taken(call, phone, Some(before.customer_id)).await?;
        }
        wanted.phone = phone.map(E164::into_string);
    }
    if let Some(text) = &input.email {
        wanted.email = emptied(text, |text| typed::email(text, "email", locale))?;
    }
    if let Some(text) = &input.language {
        wanted.language = emptied(text, |text| typed::language(text, "language", locale))?;
    }
    if let Some(text) = &input.time_zone {
        let zone = emptied(text, |text| typed::time_zone(text, "time_zone", locale))?;
        wanted.time_zone = zone.map(|zone| zone.name().to_owned());
    }
    wanted.contact = input.contact.or(wanted.contact);
    let reachable = match wanted.contact {
        Some(ContactBy::Phone) => wanted.phone.is_some(),
        Some(ContactBy::Email) => wanted.email.is_some(),
        Some(ContactBy::None) | None => true,
    };
    if !reachable {
        return Err(profile::not_reachable(locale, &wanted).into());
    }
    Ok(wanted)
}

/// Nothing for an empty text, or what it reads as.
fn emptied<T>(
    text: &str,
    read: impl FnOnce(&str) -> Result<T, ToolFailure>,
) -> Result<Option<T>, ToolFailure> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    read(text).map(Some)
}

async fn change_favourites(
    call: &mut Call<'_>,
    customer_id: Uuid,
    change: &FavouritesChange,
) -> Result<(), CallError> {
    let add = items(call, &change.add, "favourites.add").await?;
    let remove = items(call, &change.remove, "favourites.remove").await?;
    let tenant = call.tenant();
    delete_favourites(call.conn, tenant, customer_id, &remove).await?;
    insert_favourites(call.conn, tenant, customer_id, &add).await?;
    let most = i64::try_from(FAVOURITES_MAX).unwrap_or(i64::MAX);
    if count_favourites(call.conn, tenant, customer_id).await? > most {
        return Err(arguments::too_many(call.locale, "favourites.add", FAVOURITES_MAX).into());
    }
    Ok(())
}

/// The ids of the items these names mean, each once.
async fn items(call: &mut Call<'_>, names: &[String], field: &str) -> Result<Vec<Uuid>, CallError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    if names.len() > FAVOURITES_MAX {
        return Err(arguments::too_many(call.locale, field, FAVOURITES_MAX).into());
    }
    let fields: Vec<String> = (0..names.len()).map(|i| format!("{field}[{i}]")).collect();
    let asked: Vec<Asked<'_>> = names
        .iter()
        .zip(&fields)
        .map(|(name, field)| Asked { name, field })
        .collect();
    let found = find(call, &asked).await?;
    let ids: BTreeSet<Uuid> = found.iter().map(|item| item.id).collect();
    Ok(ids.into_iter().collect())
}

/// The last wall behind [`details::refuse_taken`]: another call took the number meanwhile.
fn map_taken(error: sqlx::Error, wanted: &CustomerView, call: &Call<'_>) -> CallError {
    let error = CallError::from(error);
    match (error.constraint(), &wanted.phone) {
        (Some("customers_phone"), Some(phone)) => {
            profile::phone_just_taken(call.locale, phone).into()
        }
        _ => error,
    }
}

async fn lock(conn: &mut PgConnection, tenant: Uuid, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select id from shop.customers where tenant_id = $1 and id = $2 for no key update",
        tenant,
        id
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

async fn update(
    conn: &mut PgConnection,
    tenant: Uuid,
    wanted: &CustomerView,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop.customers
         set name = $3, phone_e164 = $4, email = $5, locale = $6, contact = $7, time_zone = $8, version = version + 1
         where tenant_id = $1 and id = $2",
        tenant,
        wanted.customer_id,
        wanted.name,
        wanted.phone,
        wanted.email,
        wanted.language,
        wanted.contact.map(ContactBy::word),
        wanted.time_zone
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn delete_favourites(
    conn: &mut PgConnection,
    tenant: Uuid,
    customer_id: Uuid,
    items: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from shop.customer_favourites where tenant_id = $1 and customer_id = $2 and item_id = any($3)",
        tenant,
        customer_id,
        items
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert_favourites(
    conn: &mut PgConnection,
    tenant: Uuid,
    customer_id: Uuid,
    items: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into shop.customer_favourites (tenant_id, customer_id, item_id)
         select $1, $2, i.id from unnest($3::uuid[]) as i (id) on conflict do nothing",
        tenant,
        customer_id,
        items
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Those the profile shows: items on sale.
async fn count_favourites(
    conn: &mut PgConnection,
    tenant: Uuid,
    customer_id: Uuid,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from shop.customer_favourites f
           join shop.items i on i.tenant_id = $1 and i.id = f.item_id and i.archived_at is null
           where f.tenant_id = $1 and f.customer_id = $2"#,
        tenant,
        customer_id
    )
    .fetch_one(conn)
    .await
}

#[cfg(test)]
mod tests {
    use contracts::failure::FailureCode;
    use contracts::locale::Locale;
    use contracts::tools::inventory::{AddItem, DeleteItem};
    use contracts::tools::profile::CreateCustomer;
    use serde_json::Value;

    use super::*;
    use crate::testing::{World, refusal};

    async fn shop() -> World {
        let world = World::new().await;
        for (name, phone) in [("Ali", "0788123456"), ("Aline", "0788654321")] {
            let person = json!({"name": name, "phone": phone});
            world.write::<CreateCustomer>(person).await.unwrap();
        }
        world
    }

    async fn change(world: &World, members: Value) -> Result<CustomerOutput, CallError> {
        let mut input = json!({"customer": "ali"});
        input
            .as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        world.write::<UpdatePreferences>(input).await
    }

    #[tokio::test]
    async fn only_what_is_given_changes() {
        let mut world = shop().await;
        let changed = change(
            &world,
            json!({"email": "ali@example.com", "contact": "email", "language": "es", "time_zone": "europe/madrid"}),
        )
        .await
        .unwrap();
        assert_eq!(
            changed.summary,
            "Changed Ali: email ali@example.com, language es, reached by email, time zone Europe/Madrid."
        );
        assert_eq!(changed.customer.phone.as_deref(), Some("+250788123456"));
        let moved = change(&world, json!({"phone": "+34 600 123 456"}))
            .await
            .unwrap();
        assert_eq!(moved.summary, "Changed Ali: telephone +34600123456.");
        assert_eq!(moved.customer.version, 3);
        assert_eq!(moved.customer.email.as_deref(), Some("ali@example.com"));
        let same = change(&world, json!({"language": "es"})).await.unwrap();
        assert_eq!(same.summary, "Ali is as before: nothing was different.");

        world.locale = Locale::Es;
        let emptied = change(&world, json!({"time_zone": "", "name": "Ali Hassan"}))
            .await
            .unwrap();
        assert_eq!(
            emptied.summary,
            "Cambiado Ali: nombre Ali Hassan, sin zona horaria propia."
        );
    }

    #[tokio::test]
    async fn nobody_is_to_be_reached_where_they_cannot_be() {
        let world = shop().await;
        let failure = refusal(change(&world, json!({"contact": "email"})).await);
        assert_eq!(
            failure.message,
            "There is no email address of Ali's. Please give one."
        );
        change(&world, json!({"contact": "phone"})).await.unwrap();
        let failure = refusal(change(&world, json!({"phone": ""})).await);
        assert_eq!(failure.code, FailureCode::InvalidArguments);
        change(&world, json!({"phone": "", "contact": "none"}))
            .await
            .unwrap();
        let failure = refusal(change(&world, json!({"phone": "0788 654 321"})).await);
        assert_eq!(failure.code, FailureCode::AlreadyExists);
        assert_eq!(failure.candidates[0].name, "Aline (+250788654321)");
    }

    #[tokio::test]
    async fn favourites_are_items_of_the_shop() {
        let world = shop().await;
        for name in ["Rice", "Milk", "Soap"] {
            let item = json!({"name": name, "unit_price": "1", "aliases": [{"name": format!("{name} alias")}]});
            world.write::<AddItem>(item).await.unwrap();
        }
        let added = change(
            &world,
            json!({"favourites": {"add": ["rice", "milk alias", "RICE"]}}),
        )
        .await
        .unwrap();
        assert_eq!(added.customer.favourites, ["Milk", "Rice"]);
        assert_eq!(added.summary, "Changed Ali: usually takes Milk and Rice.");
        let swapped = change(
            &world,
            json!({"favourites": {"add": ["soap"], "remove": ["rice"]}}),
        )
        .await
        .unwrap();
        assert_eq!(swapped.customer.favourites, ["Milk", "Soap"]);
        world
            .agree::<DeleteItem>(json!({"item": "soap"}))
            .await
            .unwrap();
        let left = change(&world, json!({"language": "rw"})).await.unwrap();
        assert_eq!(left.customer.favourites, ["Milk"]);
        let failure =
            refusal(change(&world, json!({"favourites": {"add": ["milk", "caviar"]}})).await);
        assert_eq!(failure.code, FailureCode::UnknownItem);
        assert_eq!(failure.field.as_deref(), Some("favourites.add[1]"));
    }

    #[tokio::test]
    async fn what_cannot_be_is_refused_and_nothing_changes() {
        let world = shop().await;
        for (members, field) in [
            (json!({}), "customer"),
            (json!({"favourites": {}}), "customer"),
            (json!({"name": ""}), "name"),
            (json!({"phone": "12"}), "phone"),
            (json!({"email": "ali"}), "email"),
            (json!({"language": "x"}), "language"),
            (json!({"time_zone": "Mars/Olympus"}), "time_zone"),
            (
                json!({"favourites": {"add": vec!["milk"; 21]}}),
                "favourites.add",
            ),
        ] {
            let failure = refusal(change(&world, members).await);
            assert_eq!(failure.code, FailureCode::InvalidArguments);
            assert_eq!(failure.field.as_deref(), Some(field), "{}", failure.message);
        }
        let unknown = json!({"customer": "Zoe", "language": "es"});
        let failure = refusal(world.write::<UpdatePreferences>(unknown).await);
        assert_eq!(failure.code, FailureCode::UnknownCustomer);
        let changed = "select count(*) from shop.customers where version > 1";
        assert_eq!(world.number(changed).await, 0);
    }

    #[tokio::test]
    async fn two_who_want_one_number_at_once_do_not_both_get_it() {
        let world = shop().await;
        let wish = |customer: &str| json!({"customer": customer, "phone": "0788000111"});
        let both = futures::future::join_all([
            world.write::<UpdatePreferences>(wish("Ali")),
            world.write::<UpdatePreferences>(wish("Aline")),
        ])
        .await;
        let (changed, refused): (Vec<_>, Vec<_>) = both.into_iter().partition(Result::is_ok);
        assert_eq!((changed.len(), refused.len()), (1, 1));
        for one in refused {
            assert_eq!(refusal(one).code, FailureCode::AlreadyExists);
        }
    }
}
