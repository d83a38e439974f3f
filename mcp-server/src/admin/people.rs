//! The people of a business who log in: who they are, what they may do, how they prove it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use contracts::ids::TenantId;
use contracts::locale::Locale;
use contracts::scope::Reach;
use contracts::token::PrincipalRole;
use migrations::clock::new_id;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::page::Page;
use super::problem::{Code, Problem};
use super::settings::maybe_null;
use super::{Asked, Given, Owner, record, seen};
use crate::app::App;
use crate::caller::Caller;
use crate::cursor;
use crate::error::CallError;
use crate::handler::Audit;
use crate::identity::{passwords, sessions};
use crate::typed::{self, NAME_CHARS_MAX};
use crate::words::arguments::Thing;

/// Longest name at log-in, bytes.
const SUBJECT_BYTES_MAX: usize = 80;
/// Most scopes of one person or key: one for each effect of each toolset, and `admin`.
pub(super) const SCOPES_MAX: usize = 32;
/// Longest name of an authorization server and of somebody there, characters.
const ISSUER_CHARS_MAX: usize = 255;

/// A person, without what proves who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Person {
    /// The name at log-in, which questions, tokens and the audit log carry.
    pub(crate) subject: String,
    /// How pages greet the person.
    pub(crate) name: String,
    /// What the person may do.
    pub(crate) role: PrincipalRole,
    /// The customer a customer is.
    pub(crate) customer: Option<Uuid>,
    /// How far the person may reach within the role.
    pub(crate) scopes: Vec<String>,
    /// Whether there is a password to log in with.
    pub(crate) has_password: bool,
    /// Where else the person logs in.
    pub(crate) account: Option<Account>,
    /// Until when too many wrong passwords keep the person out.
    pub(crate) locked_until: Option<DateTime<Utc>>,
    /// Since when.
    pub(crate) created_at: DateTime<Utc>,
    /// Since when the person is not let in.
    pub(crate) disabled_at: Option<DateTime<Utc>>,
}

impl Person {
    fn is_working_owner(&self) -> bool {
        self.role == PrincipalRole::Owner && self.disabled_at.is_none()
    }
}

/// Somebody at an authorization server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Account {
    /// The server's `iss`.
    pub(crate) issuer: String,
    /// The person's `sub` there.
    pub(crate) subject: String,
}

/// A page of people.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct People {
    pub(crate) people: Vec<Person>,
    /// Where the next page starts; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// A person who was added or changed, with a password that was made up for them: shown this once.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) person: Person,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<String>,
}

/// Somebody new.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPerson {
    subject: String,
    name: String,
    role: PrincipalRole,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<String>>,
    /// The customer's id or name, for a customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customer: Option<String>,
    #[serde(default, skip_serializing)]
    password: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    generate_password: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<Account>,
}

/// What is to change; what is left out stays.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Change {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<PrincipalRole>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled: Option<bool>,
    #[serde(skip_serializing)]
    password: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    generate_password: bool,
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "maybe_null"
    )]
    account: Option<Option<Account>>,
}

impl Change {
    /// Whether it could take an owner away.
    fn may_lessen(&self) -> bool {
        self.disabled == Some(true) || self.role.is_some_and(|role| role != PrincipalRole::Owner)
    }
}

/// `GET /admin/v1/people?cursor=&limit=`
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Owner(owner): Owner,
    Asked(page): Asked<Page>,
) -> Result<Json<People>, Problem> {
    let limit = page.limit("people")?;
    let after = page.after::<String>()?.unwrap_or_default();
    let mut tx = app.begin_reading(owner.tenant).await?;
    let mut rows = select_page(&mut tx, owner.tenant, &after, i64::from(limit) + 1).await?;
    let is_last = rows.len() <= usize::from(limit);
    rows.truncate(limit.into());
    let next = rows
        .last()
        .filter(|_| !is_last)
        .map(|row| cursor::write(&row.subject));
    let people = rows.into_iter().map(Row::person).collect();
    Ok(Json(People { people, next }))
}

/// `POST /admin/v1/people`
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    Owner(owner): Owner,
    Given(new): Given<NewPerson>,
) -> Result<(StatusCode, Json<Done>), Problem> {
    let generate = new.generate_password || (new.password.is_none() && new.account.is_none());
    let (hash, told) = password(&app, &new.subject, new.password.as_ref(), generate).await?;
    let mut tx = app.begin(owner.tenant).await?;
    let person = checked(&mut tx, &owner, &new, hash.is_some(), app.clock.now()).await?;
    let id = new_id(&*app.clock);
    insert(&mut tx, owner.tenant, id, &person, hash.as_ref()).await?;
    let audit = Audit {
        subject: format!("person:{}", person.subject),
        before: None,
        after: seen(&person),
    };
    record(&mut tx, &app, &owner, "admin.people.add", &new, &audit).await?;
    tx.commit().await.map_err(CallError::of_commit)?;
    app.identities.forget(owner.tenant);
    Ok((
        StatusCode::CREATED,
        Json(Done {
            person,
            password: told,
        }),
    ))
}

/// `PATCH /admin/v1/people/{subject}`
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    Owner(owner): Owner,
    Path(subject): Path<String>,
    Given(change): Given<Change>,
) -> Result<Json<Done>, Problem> {
    let tenant = owner.tenant;
    let (hash, told) = password(
        &app,
        &subject,
        change.password.as_ref(),
        change.generate_password,
    )
    .await?;
    let now = app.clock.now();
    let mut tx = app.begin(tenant).await?;
    if change.may_lessen() {
        // All of them, in one order: of two owners who disable each other at once, the second sees what the first did.
        lock_owners(&mut tx, tenant).await?;
    }
    let row = lock(&mut tx, tenant, &subject).await?;
    let row = row.ok_or_else(|| {
        Problem::missing(format!(
            "There is no `{subject}`. `GET /admin/v1/people` lists everybody."
        ))
    })?;
    let id = row.id;
    let before = row.person();
    let mut after = changed(&mut tx, &owner, before.clone(), &change, now).await?;
    after.has_password |= hash.is_some();
    if hash.is_some() || change.disabled == Some(false) {
        after.locked_until = None;
    }
    if after == before && hash.is_none() {
        return Ok(Json(Done {
            person: after,
            password: None,
        }));
    }
    if before.is_working_owner()
        && !after.is_working_owner()
        && count_owners(&mut tx, tenant).await? <= 1
    {
        let detail = "This is the last owner who can log in. Make somebody else an owner first.";
        return Err(Problem::new(Code::LastOwner, detail));
    }
    update(&mut tx, tenant, id, &after, hash.as_ref()).await?;
    if hash.is_some() || after.disabled_at.is_some() {
        sessions::end_all(&mut tx, tenant, id, now).await?;
    }
    let audit = Audit {
        subject: format!("person:{subject}"),
        before: seen(&before),
        after: seen(&after),
    };
    let given = json!({"subject": subject, "change": change, "new_password": hash.is_some()});
    record(&mut tx, &app, &owner, "admin.people.change", &given, &audit).await?;
    tx.commit().await.map_err(CallError::of_commit)?;
    app.identities.forget(tenant);
    Ok(Json(Done {
        person: after,
        password: told,
    }))
}

/// The hash to store, and the password to show if it was made up here.
pub(super) async fn password(
    app: &App,
    subject: &str,
    chosen: Option<&String>,
    generate: bool,
) -> Result<(Option<String>, Option<String>), Problem> {
    match (chosen, generate) {
        (Some(_), true) => Err(Problem::value(
            "generate_password",
            "Give a password, or have one made up, not both.",
        )),
        (Some(chosen), false) => {
            passwords::acceptable(chosen, &[subject])
                .map_err(|why| Problem::value("password", why))?;
            Ok((Some(app.passwords.hash(chosen.clone()).await?), None))
        }
        (None, true) => {
            let made = passwords::generated();
            Ok((Some(app.passwords.hash(made.clone()).await?), Some(made)))
        }
        (None, false) => Ok((None, None)),
    }
}

/// Somebody new who can be.
async fn checked(
    conn: &mut PgConnection,
    owner: &Caller,
    new: &NewPerson,
    has_password: bool,
    now: DateTime<Utc>,
) -> Result<Person, Problem> {
    let everything = match new.role {
        PrincipalRole::Owner => vec!["all:commit".to_owned(), "admin".to_owned()],
        PrincipalRole::Staff | PrincipalRole::Customer => vec!["all:commit".to_owned()],
    };
    let scopes = new.scopes.clone().unwrap_or(everything);
    Ok(Person {
        subject: checked_subject(&new.subject)?,
        name: checked_name(&new.name)?,
        role: new.role,
        customer: customer_of(conn, owner.tenant, new.role, new.customer.as_deref()).await?,
        scopes: checked_scopes(owner, scopes)?.0,
        has_password,
        account: new.account.as_ref().map(checked_account).transpose()?,
        locked_until: None,
        created_at: now,
        disabled_at: None,
    })
}

/// The person with a change that can be.
async fn changed(
    conn: &mut PgConnection,
    owner: &Caller,
    mut person: Person,
    change: &Change,
    now: DateTime<Utc>,
) -> Result<Person, Problem> {
    if let Some(name) = &change.name {
        person.name = checked_name(name)?;
    }
    if change.role.is_some() || change.customer.is_some() {
        let role = change.role.unwrap_or(person.role);
        let stays = role == PrincipalRole::Customer && change.customer.is_none();
        if !(stays && person.customer.is_some()) {
            person.customer =
                customer_of(conn, owner.tenant, role, change.customer.as_deref()).await?;
        }
        person.role = role;
    }
    if let Some(scopes) = &change.scopes {
        person.scopes = checked_scopes(owner, scopes.clone())?.0;
    }
    match change.disabled {
        Some(true) => person.disabled_at = person.disabled_at.or(Some(now)),
        Some(false) => person.disabled_at = None,
        None => {}
    }
    if let Some(account) = &change.account {
        person.account = account.as_ref().map(checked_account).transpose()?;
    }
    Ok(person)
}

/// A name at log-in.
pub(super) fn checked_subject(text: &str) -> Result<String, Problem> {
    let subject = text.trim().to_lowercase();
    let of_a_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let fits = (1..=SUBJECT_BYTES_MAX).contains(&subject.len())
        && subject
            .bytes()
            .all(|b| of_a_name(b) || b"._@+-".contains(&b))
        && subject.bytes().next().is_some_and(of_a_name);
    if fits {
        return Ok(subject);
    }
    let detail = "A name at log-in has 1 to 80 letters a to z, digits and `._@+-`, and begins with a letter or digit: ana, ana@shop.example.";
    Err(Problem::value("subject", detail))
}

pub(super) fn checked_name(text: &str) -> Result<String, Problem> {
    Ok(typed::line(
        text,
        Thing::Name,
        "name",
        NAME_CHARS_MAX,
        Locale::En,
    )?)
}

/// Scopes that whoever gives them has: nobody hands out more than they reach.
pub(super) fn checked_scopes(
    owner: &Caller,
    mut scopes: Vec<String>,
) -> Result<(Vec<String>, Reach), Problem> {
    if scopes.len() > SCOPES_MAX {
        return Err(Problem::value(
            "scopes",
            format!("Give at most {SCOPES_MAX} scopes."),
        ));
    }
    scopes.sort();
    scopes.dedup();
    let reach = Reach::of_scopes(scopes.iter().map(String::as_str))
        .map_err(|bad| Problem::value("scopes", format!("{bad}.")))?;
    if reach.narrowed(owner.reach) == reach {
        Ok((scopes, reach))
    } else {
        let detail =
            "These scopes reach further than your own here. Leave out those you do not have.";
        Err(Problem::forbidden(detail).at("scopes"))
    }
}

fn checked_account(account: &Account) -> Result<Account, Problem> {
    let line = |text: &str, field: &str| {
        let line = typed::line(text, Thing::Name, field, ISSUER_CHARS_MAX, Locale::En);
        line.map_err(|_| {
            Problem::value(
                field,
                "Give it as the authorization server writes it, at most 255 characters.",
            )
        })
    };
    Ok(Account {
        issuer: line(&account.issuer, "account.issuer")?,
        subject: line(&account.subject, "account.subject")?,
    })
}

/// The customer that a customer's role needs, and no other has.
pub(super) async fn customer_of(
    conn: &mut PgConnection,
    tenant: TenantId,
    role: PrincipalRole,
    named: Option<&str>,
) -> Result<Option<Uuid>, Problem> {
    let problem = |detail: &str| Problem::value("customer", detail);
    match (role, named) {
        (PrincipalRole::Customer, None) => Err(problem("Say which customer it is, by id or name.")),
        (PrincipalRole::Customer, Some(text)) => {
            let text = text.trim();
            if text.is_empty() || text.contains('\0') {
                return Err(problem("Say which customer it is, by id or name."));
            }
            let found = find_customers(conn, tenant, text.parse().ok(), text).await?;
            match found.as_slice() {
                [] => Err(problem(
                    "There is no such customer. Add the customer first, or give the id.",
                )),
                [one] => Ok(Some(*one)),
                _ => Err(problem("Several customers have this name. Give the id.")),
            }
        }
        (_, Some(_)) => Err(problem("Only the role `customer` goes with a customer.")),
        (_, None) => Ok(None),
    }
}

fn taken(error: sqlx::Error) -> Problem {
    let error = CallError::Database(error);
    match error.constraint() {
        Some("people_subject") => Problem::new(
            Code::Taken,
            "There is or was somebody of this name, and the audit log knows them by it. Choose another name.",
        )
        .at("subject"),
        Some("people_issuer") => Problem::new(
            Code::Taken,
            "Somebody else of the shop logs in with this account. Take it from them first.",
        )
        .at("account"),
        _ => error.into(),
    }
}

struct Row {
    id: Uuid,
    subject: String,
    name: String,
    role: String,
    customer_id: Option<Uuid>,
    scopes: Vec<String>,
    has_password: bool,
    issuer: Option<String>,
    issuer_subject: Option<String>,
    locked_until: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    disabled_at: Option<DateTime<Utc>>,
}

impl Row {
    fn person(self) -> Person {
        let account = self.issuer.zip(self.issuer_subject);
        Person {
            subject: self.subject,
            name: self.name,
            // The table admits only the three words.
            role: PrincipalRole::from_word(&self.role).unwrap_or(PrincipalRole::Customer),
            customer: self.customer_id,
            scopes: self.scopes,
            has_password: self.has_password,
            account: account.map(|(issuer, subject)| Account { issuer, subject }),
            locked_until: self.locked_until,
            created_at: self.created_at,
            disabled_at: self.disabled_at,
        }
    }
}

async fn select_page(
    conn: &mut PgConnection,
    tenant: TenantId,
    after: &str,
    most: i64,
) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"select id, subject, name, role, customer_id, scopes, password_hash is not null as "has_password!", issuer, issuer_subject,
                  locked_until, created_at, disabled_at
           from shop.people where tenant_id = $1 and subject > $2 order by subject limit $3"#,
        tenant.0,
        after,
        most
    )
    .fetch_all(conn)
    .await
}

async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    subject: &str,
) -> Result<Option<Row>, sqlx::Error> {
    if subject.contains('\0') {
        return Ok(None);
    }
    sqlx::query_as!(
        Row,
        r#"select id, subject, name, role, customer_id, scopes, password_hash is not null as "has_password!", issuer, issuer_subject,
                  locked_until, created_at, disabled_at
           from shop.people where tenant_id = $1 and subject = $2 for no key update"#,
        tenant.0,
        subject
    )
    .fetch_optional(conn)
    .await
}

async fn lock_owners(conn: &mut PgConnection, tenant: TenantId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select id from shop.people where tenant_id = $1 and role = 'owner' order by id for no key update",
        tenant.0
    )
    .fetch_all(conn)
    .await?;
    Ok(())
}

async fn count_owners(conn: &mut PgConnection, tenant: TenantId) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from shop.people where tenant_id = $1 and role = 'owner' and disabled_at is null"#,
        tenant.0
    )
    .fetch_one(conn)
    .await
}

async fn find_customers(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Option<Uuid>,
    name: &str,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from shop.customers
         where tenant_id = $1 and deleted_at is null and (id = $2 or ($2 is null and name_norm = shop.norm($3))) limit 2",
        tenant.0,
        id,
        name
    )
    .fetch_all(conn)
    .await
}

pub(super) async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    person: &Person,
    password_hash: Option<&String>,
) -> Result<(), Problem> {
    let account = person.account.as_ref();
    sqlx::query!(
        "insert into shop.people (tenant_id, id, subject, name, role, customer_id, scopes, password_hash, issuer, issuer_subject, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        tenant.0,
        id,
        person.subject,
        person.name,
        person.role.word(),
        person.customer,
        &person.scopes,
        password_hash,
        account.map(|a| &a.issuer),
        account.map(|a| &a.subject),
        person.created_at
    )
    .execute(conn)
    .await
    .map_err(taken)?;
    Ok(())
}

async fn update(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: Uuid,
    person: &Person,
    password_hash: Option<&String>,
) -> Result<(), Problem> {
    let account = person.account.as_ref();
    sqlx::query!(
        "update shop.people set name = $3, role = $4, customer_id = $5, scopes = $6, password_hash = coalesce($7, password_hash),
                issuer = $8, issuer_subject = $9, disabled_at = $10, locked_until = $11,
                failed_logins = case when $11::timestamptz is null then 0 else failed_logins end
         where tenant_id = $1 and id = $2",
        tenant.0,
        id,
        person.name,
        person.role.word(),
        person.customer,
        &person.scopes,
        password_hash,
        account.map(|a| &a.issuer),
        account.map(|a| &a.subject),
        person.disabled_at,
        person.locked_until
    )
    .execute(conn)
    .await
    .map_err(taken)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_at_log_in_is_plain() {
        assert_eq!(
            checked_subject(" Ana@Shop.example ").unwrap(),
            "ana@shop.example"
        );
        for bad in ["", "-ana", "key:x", "ana maria", "aña", &"a".repeat(81)] {
            assert!(checked_subject(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nobody_hands_out_more_than_they_reach() {
        let scopes = |of: &[&str]| of.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let mut owner = Caller::local_owner();
        assert!(checked_scopes(&owner, scopes(&["all:commit", "admin"])).is_ok());
        owner.reach = Reach::of_scopes(["billing:write", "admin"]).unwrap();
        let (given, _) =
            checked_scopes(&owner, scopes(&["billing:read", "admin", "admin"])).unwrap();
        assert_eq!(given, ["admin", "billing:read"]);
        let more = checked_scopes(&owner, scopes(&["billing:commit"])).unwrap_err();
        assert_eq!(more.code, Code::Forbidden);
        let none = checked_scopes(&owner, scopes(&["billing:all"])).unwrap_err();
        assert_eq!(none.code, Code::InvalidValue);
    }
}
