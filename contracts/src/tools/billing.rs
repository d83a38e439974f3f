//! Bills and takings.

use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::confirmation::Approver;
use crate::money::Money;
use crate::quantity::{Exact, Measure};
use crate::token::PrincipalRole;
use crate::tool::{Commit, ForCustomers, Read, Tool, Toolset};
use crate::tools::payment::{PaymentMethod, PaymentView, RefundTo};

/// Where a bill stands. Part payment is an amount, not a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BillStatus {
    /// Issued, something is owed.
    Open,
    /// Nothing is owed.
    Paid,
    /// Taken back before it was paid; it keeps its number.
    Void,
    /// Given up.
    Uncollectible,
}

impl BillStatus {
    /// The word stored and shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            BillStatus::Open => "open",
            BillStatus::Paid => "paid",
            BillStatus::Void => "void",
            BillStatus::Uncollectible => "uncollectible",
        }
    }

    /// Reads [`BillStatus::word`] back.
    #[must_use]
    pub fn from_word(word: &str) -> Option<BillStatus> {
        [
            BillStatus::Open,
            BillStatus::Paid,
            BillStatus::Void,
            BillStatus::Uncollectible,
        ]
        .into_iter()
        .find(|s| s.word() == word)
    }
}

/// A line as it is printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BillLineView {
    /// The item's name when the bill was issued.
    pub description: String,
    /// As it was ordered: "2 kg".
    pub quantity: Measure,
    /// The same in the item's unit, which the price is per.
    pub priced_quantity: Measure,
    /// Price of one such unit, in words: "RWF 160 per kg".
    pub unit_price: String,
    /// Quantity times price, rounded once.
    pub gross: Money,
    /// This line's share of the bill's discount.
    pub discount: Money,
    /// Tax of the line; within the price where the shop's prices include tax.
    pub tax: Money,
    /// The line as one text: "2 kg Sugar @ 160 = 320".
    pub text: String,
}

/// Whether a document asks for money or takes some of it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BillKind {
    /// A bill.
    #[default]
    Invoice,
    /// A credit note.
    CreditNote,
}

/// A credit note as its bill names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreditNoteHead {
    /// Its id.
    pub bill_id: Uuid,
    /// Its number: "CN-3".
    pub number: String,
    /// What it credits.
    pub total: Money,
}

/// A bill as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BillView {
    /// The bill's id.
    pub bill_id: Uuid,
    /// Its number: gapless within the shop, such as "INV-12"; "CN-3" for a credit note.
    pub number: String,
    /// A bill or a credit note.
    #[serde(default)]
    pub kind: BillKind,
    /// Where it stands.
    pub status: BillStatus,
    /// The customer's name; absent for a counter sale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// The lines.
    pub lines: Vec<BillLineView>,
    /// Sum of the lines.
    pub subtotal: Money,
    /// What was taken off.
    pub discount: Money,
    /// Tax of all lines.
    pub tax: Money,
    /// Prices include the tax.
    pub tax_inclusive: bool,
    /// What the customer owes in all.
    pub total: Money,
    /// What has been paid of it.
    pub paid: Money,
    /// What has been credited: by credit notes and refunds.
    pub credited: Money,
    /// What is still owed.
    pub owed: Money,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// When it is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_on: Option<NaiveDate>,
    /// Why it was voided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub void_reason: Option<String>,
    /// Why it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_off_reason: Option<String>,
    /// Its credit notes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credit_notes: Vec<CreditNoteHead>,
    /// For a credit note, the number of the bill it credits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credits: Option<String>,
}

/// `billing_create_bill`.
#[derive(Debug)]
pub struct CreateBill;

/// One line of a new bill.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BillLine {
    /// The item's name, alias, sku or id: "sugar".
    pub item: String,
    /// How many: "2". More than 0, at most six decimals.
    pub quantity: Exact,
    /// The unit of `quantity`, where it is another than the item's: "kg", "g", "bag".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Another price than the item's, per the item's unit, in the shop's currency: "150". 0 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_price: Option<Exact>,
}

/// How a bill is paid with its issue.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BillPayment {
    /// How it is paid: cash, wallet (the customer's, with the shop), `mobile_money` or card. Cash and wallet pay at once; the others are
    /// asked for with the bill, which stays open until the money has come.
    pub method: PaymentMethod,
    /// How much, in the shop's currency: "570". The whole total when absent; never more than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Exact>,
    /// For mobile money, the telephone that is asked, where it is not the customer's own: "+250788123456".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

/// A new bill.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateBillInput {
    /// The customer's name: "Ali". Somebody unknown is created with the bill. Absent for a counter sale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// What is sold. 1 to 100 lines.
    pub lines: Vec<BillLine>,
    /// An amount taken off the whole bill, in the shop's currency: "50". Never more than the lines come to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discount: Option<Exact>,
    /// ISO 4217 code, only to be sure of the amounts' currency; it must be the shop's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// When it is due, as YYYY-MM-DD; not in the past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_on: Option<NaiveDate>,
    /// Money taken at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<BillPayment>,
}

/// A bill and its sentence.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct BillOutput {
    /// One sentence for the person.
    pub summary: String,
    /// The bill's id.
    pub bill_id: Uuid,
    /// The bill's number.
    pub number: String,
    /// The bill.
    pub bill: BillView,
    /// A payment that was asked for with the bill and has not come yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PaymentView>,
}

impl Tool for CreateBill {
    const NAME: &'static str = "billing_create_bill";
    const TITLE: &'static str = "Create a bill";
    const DESCRIPTION: &'static str = "Issues a bill: takes the goods from stock, numbers the bill, records what is owed, all at once or not \
        at all. \"Create a bill for Ali: 2kg sugar and 1 shampoo\" is customer Ali with two lines; prices come from the items. A person is \
        shown the exact lines and total and asked first. Too little stock is refused with what is left.";
    const TOOLSET: Toolset = Toolset::Billing;
    const IDEMPOTENT: bool = false;
    const OPEN_WORLD: bool = true;
    type Kind = Commit;
    type Input = CreateBillInput;
    type Output = BillOutput;
}

/// `billing_get_bill`.
#[derive(Debug)]
pub struct GetBill;

/// Which bill.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetBillInput {
    /// Its number ("12" or "INV-12") or id; "last" for the newest.
    pub bill: String,
}

impl Tool for GetBill {
    const NAME: &'static str = "billing_get_bill";
    const TITLE: &'static str = "Show a bill";
    const DESCRIPTION: &'static str = "Shows one bill with its lines, total, what is paid and what is owed. Name it by number (\"12\" or \
        \"INV-12\"), by id, or \"last\" for the newest.";
    const TOOLSET: Toolset = Toolset::Billing;
    const IDEMPOTENT: bool = true;
    const LEAST_ROLE: PrincipalRole = PrincipalRole::Customer;
    const FOR_CUSTOMERS: ForCustomers = ForCustomers {
        arguments: &[(
            "bill",
            "Its number (\"12\" or \"INV-12\") or id; \"last\" for your newest.",
        )],
        ..ForCustomers::reading(
            "Shows one of your bills with its lines, total, what is paid and what is owed. Name it by number (\"12\" or \"INV-12\"), \
             by id, or \"last\" for your newest.",
        )
    };
    type Kind = Read;
    type Input = GetBillInput;
    type Output = BillOutput;
}

/// `billing_list_bills`.
#[derive(Debug)]
pub struct ListBills;

/// Which bills.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListBillsInput {
    /// Only this customer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// Only in this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<BillStatus>,
    /// Issued on or after this day of the shop, as YYYY-MM-DD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<NaiveDate>,
    /// Issued on or before this day of the shop, as YYYY-MM-DD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<NaiveDate>,
    /// How many at most: 1 to 100, 20 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A bill in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BillHead {
    /// The bill's id.
    pub bill_id: Uuid,
    /// Its number.
    pub number: String,
    /// Where it stands.
    pub status: BillStatus,
    /// The customer's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// A bill or a credit note.
    #[serde(default)]
    pub kind: BillKind,
    /// What it comes to.
    pub total: Money,
    /// What has been credited of it.
    pub credited: Money,
    /// What is still owed.
    pub owed: Money,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
}

/// One page of bills, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ListBillsOutput {
    /// One sentence for the person.
    pub summary: String,
    /// The bills.
    pub bills: Vec<BillHead>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl Tool for ListBills {
    const NAME: &'static str = "billing_list_bills";
    const TITLE: &'static str = "List bills";
    const DESCRIPTION: &'static str = "Lists bills, newest first, by customer, status (open, paid, void, uncollectible) and period. \
        Example: \"Which bills are unpaid?\" is status open.";
    const TOOLSET: Toolset = Toolset::Billing;
    const IDEMPOTENT: bool = true;
    const LEAST_ROLE: PrincipalRole = PrincipalRole::Customer;
    const FOR_CUSTOMERS: ForCustomers = ForCustomers::reading(
        "Lists your bills, newest first, by status (open, paid, void, uncollectible) and period. Example: \"Which of my bills are \
         unpaid?\" is status open.",
    );
    type Kind = Read;
    type Input = ListBillsInput;
    type Output = ListBillsOutput;
}

/// `billing_void_bill`.
#[derive(Debug)]
pub struct VoidBill;

/// Which bill, and why.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VoidBillInput {
    /// Its number ("12" or "INV-12") or id; "last" for the newest.
    pub bill: String,
    /// Why, for the record: "typed twice". Up to 200 characters.
    #[serde(default)]
    pub reason: String,
}

impl Tool for VoidBill {
    const NAME: &'static str = "billing_void_bill";
    const TITLE: &'static str = "Void a bill";
    const DESCRIPTION: &'static str = "Takes back a bill on which nothing has been paid or credited: the goods return to stock, the bill keeps its \
        number and shows as void. A person is asked first. A bill with payments cannot be voided.";
    const TOOLSET: Toolset = Toolset::Billing;
    const IDEMPOTENT: bool = true;
    const DESTRUCTIVE: bool = true;
    type Kind = Commit;
    type Input = VoidBillInput;
    type Output = BillOutput;
}

/// `billing_credit_bill`.
#[derive(Debug)]
pub struct CreditBill;

/// Goods of a bill that are credited.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreditLine {
    /// The item's name, alias, sku or id, as it stands on the bill: "sugar".
    pub item: String,
    /// How many: "2". More than 0, at most six decimals, at most what was billed and not yet credited.
    pub quantity: Exact,
    /// The unit of `quantity`, where it is another than the item's: "kg", "g", "bag".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// What is credited, and where what was overpaid goes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreditBillInput {
    /// The bill: "12", "INV-12" or "last".
    pub bill: String,
    /// What of it is credited. The whole bill when absent. At most 100 lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<CreditLine>,
    /// Why, for the record: "brought back". Up to 200 characters.
    #[serde(default)]
    pub reason: String,
    /// Whether the goods go back to stock; true when absent.
    #[serde(default = "yes")]
    pub restock: bool,
    /// Where money goes that was paid beyond what is then owed: wallet, cash or original (the way it was paid). When absent: the wallet
    /// when the bill has a customer, else cash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund_to: Option<RefundTo>,
}

const fn yes() -> bool {
    true
}

/// A credit note and the bill it credits.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CreditBillOutput {
    /// One sentence for the person.
    pub summary: String,
    /// The credit note's number: "CN-3".
    pub number: String,
    /// The credit note.
    pub credit_note: BillView,
    /// The bill as it stands now.
    pub bill: BillView,
    /// The money given back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refunds: Vec<PaymentView>,
}

impl Tool for CreditBill {
    const NAME: &'static str = "billing_credit_bill";
    const TITLE: &'static str = "Credit a bill";
    const DESCRIPTION: &'static str = "Issues a credit note for a bill, whole or by line: the goods go back to stock, less is owed, and \
        what was paid beyond that is given back to the wallet, in cash or the way it was paid. \"Ali brought back 1 shampoo of bill 12\" \
        is bill 12 with one line. A person is asked first. An unpaid bill that was a mistake is voided instead (billing_void_bill).";
    const TOOLSET: Toolset = Toolset::Billing;
    const IDEMPOTENT: bool = false;
    const DESTRUCTIVE: bool = true;
    type Kind = Commit;
    type Input = CreditBillInput;
    type Output = CreditBillOutput;
}

/// `billing_write_off_bill`.
#[derive(Debug)]
pub struct WriteOffBill;

/// Which bill is given up, and why.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteOffBillInput {
    /// Its number ("12" or "INV-12") or id; "last" for the newest.
    pub bill: String,
    /// Why, for the record: "moved away". Up to 200 characters.
    #[serde(default)]
    pub reason: String,
}

impl Tool for WriteOffBill {
    const NAME: &'static str = "billing_write_off_bill";
    const TITLE: &'static str = "Write off a bill";
    const DESCRIPTION: &'static str = "Gives up what is still owed on an open bill: it becomes uncollectible and is owed no longer. The \
        goods stay sold. Only the owner may; a person is asked first.";
    const TOOLSET: Toolset = Toolset::Billing;
    const IDEMPOTENT: bool = true;
    const DESTRUCTIVE: bool = true;
    const LEAST_ROLE: PrincipalRole = PrincipalRole::Owner;
    const APPROVER: Approver = Approver::Owner;
    type Kind = Commit;
    type Input = WriteOffBillInput;
    type Output = BillOutput;
}

/// `sales_summary`.
#[derive(Debug)]
pub struct SalesSummary;

/// A span of days of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// Since midnight.
    Today,
    /// The day before.
    Yesterday,
    /// Since Monday.
    ThisWeek,
    /// Monday to Sunday before.
    LastWeek,
    /// Since the first.
    ThisMonth,
    /// The month before.
    LastMonth,
}

/// Which days.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SalesSummaryInput {
    /// A named span; today when neither it nor from and to are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
    /// First day, as YYYY-MM-DD; not together with period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<NaiveDate>,
    /// Last day, as YYYY-MM-DD; not together with period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<NaiveDate>,
}

/// An item's share of the sales.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BestSeller {
    /// The item.
    pub item: String,
    /// How much of it was sold.
    pub quantity: Measure,
    /// What it brought, after discounts.
    pub sales: Money,
}

/// Sales of a period, void bills left out.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SalesSummaryOutput {
    /// One sentence for the person.
    pub summary: String,
    /// First day.
    pub from: NaiveDate,
    /// Last day.
    pub to: NaiveDate,
    /// Bills issued.
    pub bills: i64,
    /// What they come to.
    pub sales: Money,
    /// What was credited in the period, by credit notes and refunds; sales are before it.
    pub credited: Money,
    /// Money that came in, less what was given back.
    pub takings: Money,
    /// What customers owe on open bills in all, whenever issued.
    pub owed: Money,
    /// The five items that brought most.
    pub best_sellers: Vec<BestSeller>,
}

impl Tool for SalesSummary {
    const NAME: &'static str = "sales_summary";
    const TITLE: &'static str = "Sales summary";
    const DESCRIPTION: &'static str = "Sums up a period: number of bills, sales, takings, what is owed, best sellers. Give a named period \
        (today, yesterday, this_week, last_week, this_month, last_month) or from and to. Example: \"How much did we sell today?\"";
    const TOOLSET: Toolset = Toolset::Billing;
    const IDEMPOTENT: bool = true;
    const LEAST_ROLE: PrincipalRole = PrincipalRole::Owner;
    type Kind = Read;
    type Input = SalesSummaryInput;
    type Output = SalesSummaryOutput;
}
