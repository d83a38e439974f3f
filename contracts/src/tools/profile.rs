//! The people who buy: who they are, how they like to be reached, what they usually take.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::money::Money;
use crate::token::PrincipalRole;
use crate::tool::{CUSTOMER, ForCustomers, Read, Tool, Toolset, Write};
use crate::tools::billing::BillHead;

/// How a customer wants to be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ContactBy {
    /// By telephone or a message to it.
    Phone,
    /// By email.
    Email,
    /// Not at all.
    None,
}

impl ContactBy {
    /// The word stored and shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            ContactBy::Phone => "phone",
            ContactBy::Email => "email",
            ContactBy::None => "none",
        }
    }

    /// Reads [`ContactBy::word`] back.
    #[must_use]
    pub fn from_word(word: &str) -> Option<ContactBy> {
        [ContactBy::Phone, ContactBy::Email, ContactBy::None]
            .into_iter()
            .find(|c| c.word() == word)
    }
}

/// A customer with everything the shop knows of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CustomerView {
    /// The customer's id.
    pub customer_id: Uuid,
    /// The name.
    pub name: String,
    /// The telephone number in E.164: "+250788123456".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The email address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The language they speak, as a short tag: "es".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// How they want to be reached; absent when they have not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<ContactBy>,
    /// Items they usually take, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub favourites: Vec<String>,
    /// Their time zone where it is not the shop's: "Europe/Madrid".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// What the shop has written down about them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// Grows with every change.
    pub version: i64,
}

/// A customer in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CustomerHead {
    /// The customer's id.
    pub customer_id: Uuid,
    /// The name.
    pub name: String,
    /// The telephone number in E.164.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The email address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// What they owe on open bills.
    pub owed: Money,
}

/// A customer after it was made or changed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CustomerOutput {
    /// One sentence for the person.
    pub summary: String,
    /// The customer as it is now.
    pub customer: CustomerView,
}

/// `get_user_profile`.
#[derive(Debug)]
pub struct GetUserProfile;

/// Whose profile.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetUserProfileInput {
    /// The customer's name, telephone number or id: "Ali". Leave it out for the caller's own profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
}

/// Who is calling, and for which shop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallerView {
    /// How the audit log names them.
    pub subject: String,
    /// What they may do.
    pub role: PrincipalRole,
    /// The shop.
    pub shop: String,
    /// The currency of its prices: "RWF".
    pub currency: String,
    /// Where its days begin: "Africa/Kigali".
    pub time_zone: String,
    /// The language it answers in when none is asked for.
    pub language: String,
}

/// What a customer has bought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Purchases {
    /// Bills in all, void ones left out.
    pub bills: i64,
    /// What is owed on the open ones.
    pub owed: Money,
    /// The last five, newest first, void ones included.
    pub last_bills: Vec<BillHead>,
}

/// A profile: the caller's, or a customer's with what they bought and owe.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct GetUserProfileOutput {
    /// One sentence for the person.
    pub summary: String,
    /// The caller, when no customer was named or the caller is a customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<CallerView>,
    /// The customer that was named; the caller's own profile where the caller is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<CustomerView>,
    /// What that customer has bought and owes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purchases: Option<Purchases>,
}

impl Tool for GetUserProfile {
    const NAME: &'static str = "get_user_profile";
    const TITLE: &'static str = "Show a profile";
    const DESCRIPTION: &'static str = "Shows a customer: telephone, email, language, favourites, notes, the last bills and what is owed. \
        Without a customer it shows who is calling and the shop's currency, time zone and language. Examples: \"What's Ali's number?\", \
        \"Who am I?\"";
    const TOOLSET: Toolset = Toolset::Profile;
    const IDEMPOTENT: bool = true;
    const LEAST_ROLE: PrincipalRole = PrincipalRole::Customer;
    const FOR_CUSTOMERS: ForCustomers = ForCustomers::reading(
        "Shows what the shop knows of you: telephone, email, language, favourites, your last bills and what is owed, and the shop's \
         currency, time zone and language. Example: \"Who am I?\"",
    );
    type Kind = Read;
    type Input = GetUserProfileInput;
    type Output = GetUserProfileOutput;
}

/// `find_customers`.
#[derive(Debug)]
pub struct FindCustomers;

/// Which customers.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FindCustomersInput {
    /// A name or part of one, misspelt or not, part of a telephone number, or part of an email address: "ali", "0788", "@example.com".
    /// Leave it out for all customers by name. Up to 120 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// How many at most: 1 to 100; 20 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before, unchanged and with the same query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// One page of customers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct FindCustomersOutput {
    /// One sentence for the person.
    pub summary: String,
    /// The customers: by name, or the likeliest first when something was searched for.
    pub customers: Vec<CustomerHead>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl Tool for FindCustomers {
    const NAME: &'static str = "find_customers";
    const TITLE: &'static str = "Find customers";
    const DESCRIPTION: &'static str = "Finds customers by name (misspelt or in part), telephone number in any spelling, or email, with what \
        each owes; without a query it lists all by name. Examples: \"Who has the number 0788 123 456?\", \"List our customers\".";
    const TOOLSET: Toolset = Toolset::Profile;
    const IDEMPOTENT: bool = true;
    type Kind = Read;
    type Input = FindCustomersInput;
    type Output = FindCustomersOutput;
}

/// `create_customer`.
#[derive(Debug)]
pub struct CreateCustomer;

/// Somebody new.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateCustomerInput {
    /// The name: "Beatriz Uwase". 1 to 120 characters. "new customer Ali" makes a second Ali on purpose.
    pub name: String,
    /// The telephone number: "+250788123456", or as it is dialled in the shop's country: "0788 123 456".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The email address: "ali@example.com". Up to 254 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The language they speak, as a short tag: "es", "rw", "en-GB".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Anything worth remembering: "pays on Fridays". Up to 1000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

impl Tool for CreateCustomer {
    const NAME: &'static str = "create_customer";
    const TITLE: &'static str = "Add a customer";
    const DESCRIPTION: &'static str = "Adds a customer with name, telephone, email, language and notes. A telephone number belongs to one \
        customer: a number that is there already is answered with whose it is. Example: \"Add customer Beatriz, 0788 123 456\".";
    const TOOLSET: Toolset = Toolset::Profile;
    const IDEMPOTENT: bool = false;
    type Kind = Write;
    type Input = CreateCustomerInput;
    type Output = CustomerOutput;
}

/// `update_preferences`.
#[derive(Debug)]
pub struct UpdatePreferences;

/// Changes of the items somebody usually takes.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FavouritesChange {
    /// Items to add, by name, alias, sku or id: ["rice", "milk"].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<String>,
    /// Items to take off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// New values of what a customer prefers; absent ones stay.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdatePreferencesInput {
    /// The customer's name, telephone number or id: "Ali".
    pub customer: String,
    /// The language they speak, as a short tag: "es". Empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// How they want to be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<ContactBy>,
    /// A new telephone number: "+250788123456" or as it is dialled in the shop's country. Empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// A new email address. Empty for none. Up to 254 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Items they usually take. At most 20 in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub favourites: Option<FavouritesChange>,
    /// Their time zone by its IANA name: "Europe/Madrid". Empty for the shop's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// A new name; bills issued before keep the old one. 1 to 120 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Tool for UpdatePreferences {
    const NAME: &'static str = "update_preferences";
    const TITLE: &'static str = "Change a customer";
    const DESCRIPTION: &'static str = "Changes what the shop knows of a customer: name, telephone, email, language, how to reach them, \
        favourite items, time zone. Only what is given changes. Examples: \"Ali's new number is 0788 654 321\", \"Beatriz prefers Spanish\", \
        \"Milk is one of Ali's favourites\".";
    const TOOLSET: Toolset = Toolset::Profile;
    const IDEMPOTENT: bool = true;
    const DESTRUCTIVE: bool = true;
    const LEAST_ROLE: PrincipalRole = PrincipalRole::Customer;
    // The name and the telephone are how the shop knows her, and whether a number is somebody's already is not hers to find out.
    const FOR_CUSTOMERS: ForCustomers = ForCustomers {
        without: &[CUSTOMER, "name", "phone"],
        ..ForCustomers::reading(
            "Changes what the shop knows of you: email, language, how to reach you, favourite items, time zone. Only what is given changes. \
             Examples: \"I prefer Spanish\", \"Milk is one of my favourites\". Name and telephone are changed at the counter.",
        )
    };
    type Kind = Write;
    type Input = UpdatePreferencesInput;
    type Output = CustomerOutput;
}
