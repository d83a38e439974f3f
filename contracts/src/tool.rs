//! What a tool is.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::confirmation::{Approver, ConfirmationRequired};
use crate::token::PrincipalRole;

/// What a call does to the business. Ordered: who may do more may do less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// Changes nothing.
    Read,
    /// Adds or adjusts; can be undone.
    Write,
    /// Cannot be taken back: needs a countersignature.
    Commit,
}

impl Effect {
    /// The word used in scopes and documents.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Effect::Read => "read",
            Effect::Write => "write",
            Effect::Commit => "commit",
        }
    }
}

/// A named group of tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Toolset {
    /// Items and stock.
    Inventory,
    /// Bills and takings.
    Billing,
    /// Money in, out and owed.
    Payment,
    /// What can be booked, when, and by whom.
    Booking,
    /// The people who buy.
    Profile,
    /// Branches and distances.
    Location,
    /// Requests that people answer.
    Support,
    /// What every client needs.
    All,
}

impl Toolset {
    /// The word used in settings and documents.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Toolset::Inventory => "inventory",
            Toolset::Billing => "billing",
            Toolset::Payment => "payment",
            Toolset::Booking => "booking",
            Toolset::Profile => "profile",
            Toolset::Location => "location",
            Toolset::Support => "support",
            Toolset::All => "all",
        }
    }
}

/// An [`Effect`] as a type, so that a read tool cannot be given a handler that writes.
pub trait EffectKind: Send + Sync + 'static {
    /// The value of the type.
    const EFFECT: Effect;
}

/// Type of [`Effect::Read`].
#[derive(Debug)]
pub struct Read;
/// Type of [`Effect::Write`].
#[derive(Debug)]
pub struct Write;
/// Type of [`Effect::Commit`].
#[derive(Debug)]
pub struct Commit;

impl EffectKind for Read {
    const EFFECT: Effect = Effect::Read;
}
impl EffectKind for Write {
    const EFFECT: Effect = Effect::Write;
}
impl EffectKind for Commit {
    const EFFECT: Effect = Effect::Commit;
}

/// One tool: its name, what the model reads about it, and the types that cross the wire.
pub trait Tool: Send + Sync + 'static {
    /// The fixed name clients call.
    const NAME: &'static str;
    /// A few words for a person.
    const TITLE: &'static str;
    /// What the model reads: when to use it, what it does, what it answers.
    const DESCRIPTION: &'static str;
    /// Its group.
    const TOOLSET: Toolset;
    /// Repeating the same call without a key changes nothing more.
    const IDEMPOTENT: bool;
    /// Removes or overwrites something.
    const DESTRUCTIVE: bool = false;
    /// Reaches something outside the business's own database.
    const OPEN_WORLD: bool = false;
    /// The least a principal must be to see and call it.
    const LEAST_ROLE: PrincipalRole = PrincipalRole::Staff;
    /// How it looks to a customer principal, where she may call it: what she is not asked for and what her model reads instead.
    const FOR_CUSTOMERS: ForCustomers = ForCustomers::reading(Self::DESCRIPTION);
    /// Who may answer its question where the tenant has no policy of its own; only `commit` tools ask.
    const APPROVER: Approver = Approver::Asker;
    /// What a call does.
    type Kind: EffectKind;
    /// The arguments.
    type Input: DeserializeOwned + Serialize + JsonSchema + Send + Sync;
    /// The result of a call that did what it says.
    type Output: Serialize + DeserializeOwned + JsonSchema + Send + Sync;
}

/// Name of the argument that says which customer a call is about. Staff give it; for a customer principal it is herself.
pub const CUSTOMER: &str = "customer";

/// How a tool differs for a customer principal, who reads, books and pays for herself alone.
///
/// What she may not give is taken out of her schema, and refused when it is sent all the same, as any argument that does not exist.
#[derive(Debug, Clone, Copy)]
pub struct ForCustomers {
    /// What her model reads instead of [`Tool::DESCRIPTION`].
    pub description: &'static str,
    /// Arguments that only staff may give. Those the tool does not have are no mistake.
    pub without: &'static [&'static str],
    /// Words that only staff may choose, each with its argument: `("method", "cash")`.
    pub without_words: &'static [(&'static str, &'static str)],
    /// What is said of an argument, where that is something else to her.
    pub arguments: &'static [(&'static str, &'static str)],
}

impl ForCustomers {
    /// The tool without [`CUSTOMER`], under this description.
    #[must_use]
    pub const fn reading(description: &'static str) -> ForCustomers {
        ForCustomers {
            description,
            without: &[CUSTOMER],
            without_words: &[],
            arguments: &[],
        }
    }
}

/// Name of the argument every write and commit tool also takes.
pub const IDEMPOTENCY_KEY: &str = "idempotency_key";
/// The request's `_meta` member with the same meaning.
pub const IDEMPOTENCY_META_KEY: &str = "idempotency-key";
/// Longest key, bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// A tool's description as it is listed: everything a client learns about it.
#[derive(Debug, Clone)]
pub struct ToolSheet {
    /// [`Tool::NAME`].
    pub name: &'static str,
    /// [`Tool::TITLE`].
    pub title: &'static str,
    /// [`Tool::DESCRIPTION`].
    pub description: &'static str,
    /// The group.
    pub toolset: Toolset,
    /// What a call does.
    pub effect: Effect,
    /// The least a principal must be to see and call it.
    pub least_role: PrincipalRole,
    /// Who answers its question by default.
    pub approver: Approver,
    /// The four hints of MCP, all given.
    pub annotations: Annotations,
    /// JSON Schema of the arguments.
    pub input_schema: Map<String, Value>,
    /// JSON Schema of the structured result.
    pub output_schema: Map<String, Value>,
    /// The tool as a customer principal sees it; `None` where she may not call it.
    pub for_customers: Option<CustomersSheet>,
}

/// What is different on a customer principal's sheet.
#[derive(Debug, Clone)]
pub struct CustomersSheet {
    /// [`ForCustomers::description`].
    pub description: &'static str,
    /// JSON Schema of the arguments she may give.
    pub input_schema: Map<String, Value>,
    /// The arguments of the tool that are not among them, sorted.
    pub staff_arguments: Vec<&'static str>,
    /// [`ForCustomers::without_words`].
    pub staff_words: &'static [(&'static str, &'static str)],
    /// The tool takes [`CUSTOMER`], which the server fills in with herself.
    pub about_customer: bool,
}

impl ToolSheet {
    /// What a principal of this role reads of the tool, and the arguments it may give.
    #[must_use]
    pub fn seen_by(&self, role: PrincipalRole) -> (&'static str, &Map<String, Value>) {
        match (&self.for_customers, role) {
            (Some(hers), PrincipalRole::Customer) => (hers.description, &hers.input_schema),
            _ => (self.description, &self.input_schema),
        }
    }
}

/// MCP's tool annotations. Their defaults are pessimistic, so all four are always set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Annotations {
    /// Changes nothing.
    pub read_only_hint: bool,
    /// Removes or overwrites something.
    pub destructive_hint: bool,
    /// The same call again changes nothing more.
    pub idempotent_hint: bool,
    /// Reaches outside.
    pub open_world_hint: bool,
}

/// The sheet of one tool.
#[must_use]
pub fn sheet<T: Tool>() -> ToolSheet {
    let effect = <T::Kind as EffectKind>::EFFECT;
    let input_schema = input_schema::<T>(effect);
    let for_customers = (T::LEAST_ROLE == PrincipalRole::Customer)
        .then(|| customers_sheet(T::FOR_CUSTOMERS, &input_schema));
    ToolSheet {
        name: T::NAME,
        title: T::TITLE,
        description: T::DESCRIPTION,
        toolset: T::TOOLSET,
        effect,
        least_role: T::LEAST_ROLE,
        approver: T::APPROVER,
        annotations: Annotations {
            read_only_hint: effect == Effect::Read,
            destructive_hint: T::DESTRUCTIVE,
            idempotent_hint: effect == Effect::Read || T::IDEMPOTENT,
            open_world_hint: T::OPEN_WORLD,
        },
        input_schema,
        output_schema: output_schema::<T>(effect),
        for_customers,
    }
}

fn customers_sheet(hers: ForCustomers, whole: &Map<String, Value>) -> CustomersSheet {
    let mut input_schema = whole.clone();
    let properties = |schema: &Map<String, Value>, name: &str| {
        let all = schema.get("properties").and_then(Value::as_object);
        all.is_some_and(|all| all.contains_key(name))
    };
    let mut staff_arguments: Vec<&'static str> = hers.without.to_vec();
    staff_arguments.retain(|name| properties(whole, name));
    staff_arguments.sort_unstable();
    if let Some(Value::Array(required)) = input_schema.get_mut("required") {
        required.retain(|name| !staff_arguments.iter().any(|out| name == out));
        if required.is_empty() {
            input_schema.remove("required");
        }
    }
    if let Some(Value::Object(all)) = input_schema.get_mut("properties") {
        for name in &staff_arguments {
            all.remove(*name);
        }
        for (name, description) in hers.arguments {
            if let Some(Value::Object(argument)) = all.get_mut(*name) {
                argument.insert("description".to_owned(), json!(description));
            }
        }
        for (name, word) in hers.without_words {
            if let Some(argument) = all.get_mut(*name) {
                take_out_word(argument, word);
            }
        }
    }
    CustomersSheet {
        description: hers.description,
        input_schema,
        staff_arguments,
        staff_words: hers.without_words,
        about_customer: properties(whole, CUSTOMER),
    }
}

/// Words are listed under `enum`, or where each has a description under `oneOf`.
fn take_out_word(argument: &mut Value, word: &str) {
    if let Some(Value::Array(words)) = argument.get_mut("enum") {
        words.retain(|w| w != word);
    }
    if let Some(Value::Array(options)) = argument.get_mut("oneOf") {
        options.retain(|option| option.get("const").is_none_or(|w| w != word));
        for option in options {
            take_out_word(option, word);
        }
    }
}

fn input_schema<T: Tool>(effect: Effect) -> Map<String, Value> {
    let mut schema = schema_of::<T::Input>();
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    if effect != Effect::Read
        && let Some(properties) = properties.as_object_mut()
    {
        properties.insert(
            IDEMPOTENCY_KEY.to_owned(),
            json!({
                "type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_BYTES_MAX,
                "description": "Optional. Send the same key when repeating this very call after a lost answer: it is done once and answered the same. Use a new key for a new wish.",
            }),
        );
    }
    schema
}

/// A commit tool may also answer that a person has to confirm first.
fn output_schema<T: Tool>(effect: Effect) -> Map<String, Value> {
    let done = schema_of::<T::Output>();
    if effect != Effect::Commit {
        return done;
    }
    let asked = schema_of::<ConfirmationRequired>();
    let mut either = Map::new();
    either.insert("type".to_owned(), json!("object"));
    either.insert("anyOf".to_owned(), json!([done, asked]));
    either
}

/// The schema of a type, self-contained and without nullable types: some clients drop tools that have them.
#[must_use]
pub fn schema_of<T: JsonSchema>() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    let mut schema: Schema = settings.into_generator().into_root_schema_for::<T>();
    let object = schema.ensure_object();
    object.remove("title");
    let mut value = Value::Object(object.clone());
    simplify(&mut value);
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Drops `null` from types and unions, formats that say nothing to a model, and `null` defaults.
fn simplify(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(simplify),
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|t| t != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(options)) = map.get_mut("anyOf") {
                options.retain(|o| o.get("type") != Some(&json!("null")));
                if let [Value::Object(only)] = options.as_slice() {
                    let only = only.clone();
                    map.remove("anyOf");
                    for (key, inner) in only {
                        map.entry(key).or_insert(inner);
                    }
                }
            }
            if map.get("default") == Some(&Value::Null) {
                map.remove("default");
            }
            if map
                .get("format")
                .and_then(Value::as_str)
                .is_some_and(|f| f.starts_with("int") || f.starts_with("uint"))
            {
                map.remove("format");
            }
            map.values_mut().for_each(simplify);
        }
        _ => {}
    }
}
