//! Money in, out and owed.

use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::confirmation::Approver;
use crate::money::Money;
use crate::quantity::Exact;
use crate::token::PrincipalRole;
use crate::tool::{CUSTOMER, Commit, ForCustomers, Read, Tool, Toolset};

/// How money is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentMethod {
    /// Notes and coins over the counter: settled at once.
    Cash,
    /// From the customer's wallet with the shop: settled at once.
    Wallet,
    /// Asked of the payer's telephone: pending until the payer agrees there.
    MobileMoney,
    /// By card: pending until the card's provider says so.
    Card,
}

impl PaymentMethod {
    const ALL: [PaymentMethod; 4] = [
        PaymentMethod::Cash,
        PaymentMethod::Wallet,
        PaymentMethod::MobileMoney,
        PaymentMethod::Card,
    ];

    /// The word stored and sent.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            PaymentMethod::Cash => "cash",
            PaymentMethod::Wallet => "wallet",
            PaymentMethod::MobileMoney => "mobile_money",
            PaymentMethod::Card => "card",
        }
    }

    /// Reads [`PaymentMethod::word`] back.
    #[must_use]
    pub fn from_word(word: &str) -> Option<PaymentMethod> {
        PaymentMethod::ALL.into_iter().find(|m| m.word() == word)
    }
}

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Asked for; the money has not moved yet.
    Pending,
    /// The money moved.
    Succeeded,
    /// The money did not move.
    Failed,
    /// Nobody answered in time; the money did not move.
    Expired,
    /// The provider could not say for too long; somebody has to look.
    Unknown,
}

impl PaymentStatus {
    const ALL: [PaymentStatus; 5] = [
        PaymentStatus::Pending,
        PaymentStatus::Succeeded,
        PaymentStatus::Failed,
        PaymentStatus::Expired,
        PaymentStatus::Unknown,
    ];

    /// The word stored and sent.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            PaymentStatus::Pending => "pending",
            PaymentStatus::Succeeded => "succeeded",
            PaymentStatus::Failed => "failed",
            PaymentStatus::Expired => "expired",
            PaymentStatus::Unknown => "unknown",
        }
    }

    /// Reads [`PaymentStatus::word`] back.
    #[must_use]
    pub fn from_word(word: &str) -> Option<PaymentStatus> {
        PaymentStatus::ALL.into_iter().find(|s| s.word() == word)
    }
}

/// What of a payment pays which bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaidPart {
    /// The bill.
    pub bill_id: Uuid,
    /// Its number: "INV-12".
    pub number: String,
    /// How much of the payment.
    pub amount: Money,
}

/// A payment as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentView {
    /// The payment's id.
    pub payment_id: Uuid,
    /// Its number: "PAY-3".
    pub reference: String,
    /// How it is paid.
    pub method: PaymentMethod,
    /// Where it stands.
    pub status: PaymentStatus,
    /// How much.
    pub amount: Money,
    /// The customer's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// The telephone that is asked, with its country code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The bills it pays, or takes its money back from. Empty while it is pending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bills: Vec<PaidPart>,
    /// What goes into the wallet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_wallet: Option<Money>,
}

/// `check_balance`.
#[derive(Debug)]
pub struct CheckBalance;

/// Whose balance.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckBalanceInput {
    /// The customer's name or telephone number: "Ali". Absent for the shop's own money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
}

/// What stands on an account of the shop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountView {
    /// Which: "cash", "clearing:momo", "clearing:stripe", "unclaimed".
    pub account: String,
    /// What is there.
    pub balance: Money,
    /// What is about to come in and has not.
    pub pending_in: Money,
    /// What is about to go out and has not.
    pub pending_out: Money,
}

/// A balance.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CheckBalanceOutput {
    /// One sentence for the person.
    pub summary: String,
    /// The customer's name; absent for the shop's own balance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// What is in the customer's wallet; for the shop, in all wallets together.
    pub wallet: Money,
    /// What the customer owes; for the shop, what is owed to it in all.
    pub owed: Money,
    /// How many bills are open.
    pub open_bills: i64,
    /// Payments that have been asked for and have not come, apart from the above.
    pub pending_in: Money,
    /// Refunds that are on their way out; they can no longer be spent from the wallet.
    pub pending_out: Money,
    /// The shop's own accounts; only without customer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<AccountView>,
}

impl Tool for CheckBalance {
    const NAME: &'static str = "check_balance";
    const TITLE: &'static str = "Check a balance";
    const DESCRIPTION: &'static str = "Shows what a customer has in the wallet and owes on open bills; payments under way are shown \
        apart. Without customer: the shop's cash, what providers hold for it, and what is owed to it in all. \"How much does Ali owe?\" is \
        customer Ali.";
    const TOOLSET: Toolset = Toolset::Payment;
    const IDEMPOTENT: bool = true;
    const LEAST_ROLE: PrincipalRole = PrincipalRole::Customer;
    const FOR_CUSTOMERS: ForCustomers = ForCustomers::reading(
        "Shows what you have in your wallet with the shop and owe on open bills; payments under way are shown apart. \"How much do I \
         owe?\"",
    );
    type Kind = Read;
    type Input = CheckBalanceInput;
    type Output = CheckBalanceOutput;
}

/// `collect_payment`.
#[derive(Debug)]
pub struct CollectPayment;

/// Money to collect.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CollectPaymentInput {
    /// Who pays: "Ali". Give at least one of customer, bill and phone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// The bill to pay: "12", "INV-12" or "last". Absent: the customer's open bills, the oldest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bill: Option<String>,
    /// How much, in the shop's currency: "5000". What is owed when absent. With a bill never more than is owed on it; without one the
    /// rest goes into the customer's wallet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Exact>,
    /// How it is paid: cash, wallet, `mobile_money` or card.
    pub method: PaymentMethod,
    /// The payer's telephone number: "+250788123456". For mobile money this is the telephone that is asked. A number that is nobody's
    /// makes a new customer, unless customer or bill says whose money it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

/// What was collected, or is on its way.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PaymentOutput {
    /// One sentence for the person.
    pub summary: String,
    /// The payment: succeeded, or pending with its reference.
    pub payment: PaymentView,
    /// What is still owed afterwards: on the bill that was named, else by the customer.
    pub owed: Money,
    /// What is in the customer's wallet afterwards; absent where no customer is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wallet: Option<Money>,
}

impl Tool for CollectPayment {
    const NAME: &'static str = "collect_payment";
    const TITLE: &'static str = "Collect a payment";
    const DESCRIPTION: &'static str = "Takes money from a customer or for a bill, in cash, from the wallet, by mobile money or card. \
        \"Collect 5000 RWF from +250788123456\" is amount 5000, phone +250788123456, method mobile_money. Without a bill it pays the \
        customer's open bills, the oldest first; what is left goes into the wallet. A person is asked first. Mobile money and card answer \
        pending with a reference; check_balance and transaction_history show when the money has come.";
    const TOOLSET: Toolset = Toolset::Payment;
    const IDEMPOTENT: bool = false;
    const DESTRUCTIVE: bool = true;
    const OPEN_WORLD: bool = true;
    const LEAST_ROLE: PrincipalRole = PrincipalRole::Customer;
    // Cash is the counter's, and whoever may name a telephone may have somebody else's asked for money.
    const FOR_CUSTOMERS: ForCustomers = ForCustomers {
        without: &[CUSTOMER, "phone"],
        without_words: &[("method", "cash")],
        arguments: &[
            (
                "bill",
                "The bill of yours to pay: \"12\", \"INV-12\" or \"last\". Absent: your open bills, the oldest first.",
            ),
            (
                "amount",
                "How much, in the shop's currency: \"5000\". What is owed when absent. With a bill never more than is owed on it; without \
                 one the rest goes into your wallet.",
            ),
            (
                "method",
                "How it is paid: wallet, `mobile_money` (your telephone with the shop is asked) or card.",
            ),
        ],
        ..ForCustomers::reading(
            "Pays your bills from your wallet, by mobile money or card. Without a bill it pays your open bills, the oldest first; what is \
             left goes into your wallet. You are asked first. Mobile money asks the telephone the shop knows of you. Mobile money and card \
             answer pending with a reference; check_balance and transaction_history show when the money has come. Cash is paid at the \
             counter.",
        )
    };
    type Kind = Commit;
    type Input = CollectPaymentInput;
    type Output = PaymentOutput;
}

/// `top_up_wallet`.
#[derive(Debug)]
pub struct TopUpWallet;

/// Money for a wallet.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopUpWalletInput {
    /// Whose wallet: "Ali". Somebody unknown is created with it.
    pub customer: String,
    /// How much, in the shop's currency: "5000". More than 0.
    pub amount: Exact,
    /// How it is paid: cash, `mobile_money` or card.
    pub method: PaymentMethod,
    /// For mobile money, the telephone that is asked, where it is not the customer's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

impl Tool for TopUpWallet {
    const NAME: &'static str = "top_up_wallet";
    const TITLE: &'static str = "Top up a wallet";
    const DESCRIPTION: &'static str = "Puts money into a customer's wallet with the shop, without paying any bill; collect_payment pays \
        bills. A person is asked first. Mobile money and card answer pending with a reference.";
    const TOOLSET: Toolset = Toolset::Payment;
    const IDEMPOTENT: bool = false;
    const OPEN_WORLD: bool = true;
    type Kind = Commit;
    type Input = TopUpWalletInput;
    type Output = PaymentOutput;
}

/// `refund_payment`.
#[derive(Debug)]
pub struct RefundPayment;

/// Where refunded money goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RefundTo {
    /// Back the way it was paid.
    #[default]
    Original,
    /// Notes and coins from the till.
    Cash,
    /// The customer's wallet with the shop.
    Wallet,
}

/// Money to give back.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundPaymentInput {
    /// The bill whose payment is given back: "12". Give exactly one of bill and payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bill: Option<String>,
    /// The payment that is given back: "PAY-3".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<String>,
    /// How much, in the shop's currency: "200". All that was paid and not yet given back when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Exact>,
    /// Why, for the record: "spoilt". Up to 200 characters.
    #[serde(default)]
    pub reason: String,
    /// Where the money goes: original (the way it was paid), cash or wallet.
    #[serde(default)]
    pub to: RefundTo,
}

/// What was given back.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RefundOutput {
    /// One sentence for the person.
    pub summary: String,
    /// What is given back in all.
    pub amount: Money,
    /// The refunds: one per payment that is given back.
    pub refunds: Vec<PaymentView>,
}

impl Tool for RefundPayment {
    const NAME: &'static str = "refund_payment";
    const TITLE: &'static str = "Refund a payment";
    const DESCRIPTION: &'static str = "Gives money back for a bill or a payment, whole or in part. The bill is credited by the same \
        amount, so nothing is owed again; the goods stay sold (billing_credit_bill also takes goods back). \"Refund bill 12\" is bill 12. \
        The owner is asked first.";
    const TOOLSET: Toolset = Toolset::Payment;
    const IDEMPOTENT: bool = false;
    const DESTRUCTIVE: bool = true;
    const OPEN_WORLD: bool = true;
    const APPROVER: Approver = Approver::Owner;
    type Kind = Commit;
    type Input = RefundPaymentInput;
    type Output = RefundOutput;
}

/// `transaction_history`.
#[derive(Debug)]
pub struct TransactionHistory;

/// Which movements.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransactionHistoryInput {
    /// Only this customer's: "Ali". Absent for the whole shop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// On or after this day of the shop, as YYYY-MM-DD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<NaiveDate>,
    /// On or before this day of the shop, as YYYY-MM-DD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<NaiveDate>,
    /// How many at most: 1 to 100, 20 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// One movement of money in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MovementOfMoney {
    /// The transfer's id.
    pub transfer_id: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// What it was: "payment for INV-12, PAY-3".
    pub text: String,
    /// How much.
    pub amount: Money,
    /// The account it went to: "cash", "receivable", "wallet". For a customer the shop's own accounts are all "shop".
    pub to_account: String,
    /// The account it came from, likewise.
    pub from_account: String,
    /// What it did to the customer's wallet (for the whole shop: to all wallets); negative when money left it. 0 while pending.
    pub wallet_change: Money,
    /// What it did to what is owed; negative when less is owed. 0 while pending.
    pub owed_change: Money,
    /// It is asked for and has not happened yet.
    pub pending: bool,
    /// The bill's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bill: Option<String>,
    /// The payment's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<String>,
    /// Where the payment stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_status: Option<PaymentStatus>,
}

/// One page of movements, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TransactionHistoryOutput {
    /// One sentence for the person.
    pub summary: String,
    /// The movements. Over all pages their changes add up to what `check_balance` says.
    pub movements: Vec<MovementOfMoney>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl Tool for TransactionHistory {
    const NAME: &'static str = "transaction_history";
    const TITLE: &'static str = "List movements of money";
    const DESCRIPTION: &'static str = "Lists movements of the ledger, newest first: bills, payments, refunds, credits, top-ups, of one \
        customer or the whole shop, by period. \"What did Ali pay?\" is customer Ali.";
    const TOOLSET: Toolset = Toolset::Payment;
    const IDEMPOTENT: bool = true;
    const LEAST_ROLE: PrincipalRole = PrincipalRole::Customer;
    const FOR_CUSTOMERS: ForCustomers = ForCustomers::reading(
        "Lists what happened to what you owe and to your wallet, newest first: bills, payments, refunds, credits, top-ups, by period. \
         \"What did I pay?\"",
    );
    type Kind = Read;
    type Input = TransactionHistoryInput;
    type Output = TransactionHistoryOutput;
}
