//! The names of the tools of payments, bookings, people, places and support, as the rules call them.

use contracts::tool::Tool;
use contracts::tools::{billing, booking, location, payment, profile, support};

pub(super) const CHECK_BALANCE: &str = payment::CheckBalance::NAME;
pub(super) const COLLECT_PAYMENT: &str = payment::CollectPayment::NAME;
pub(super) const TRANSACTION_HISTORY: &str = payment::TransactionHistory::NAME;
pub(super) const REFUND_PAYMENT: &str = payment::RefundPayment::NAME;
pub(super) const TOP_UP_WALLET: &str = payment::TopUpWallet::NAME;
pub(super) const CREDIT_BILL: &str = billing::CreditBill::NAME;
pub(super) const WRITE_OFF_BILL: &str = billing::WriteOffBill::NAME;
pub(super) const SET_RESOURCE: &str = booking::SetResource::NAME;
pub(super) const SET_HOURS: &str = booking::SetHours::NAME;
pub(super) const CHECK_AVAILABILITY: &str = booking::CheckAvailability::NAME;
pub(super) const CREATE_BOOKING: &str = booking::CreateBooking::NAME;
pub(super) const RESCHEDULE_BOOKING: &str = booking::RescheduleBooking::NAME;
pub(super) const CANCEL_BOOKING: &str = booking::CancelBooking::NAME;
pub(super) const VIEW_BOOKINGS: &str = booking::ViewBookings::NAME;
pub(super) const GET_USER_PROFILE: &str = profile::GetUserProfile::NAME;
pub(super) const FIND_CUSTOMERS: &str = profile::FindCustomers::NAME;
pub(super) const CREATE_CUSTOMER: &str = profile::CreateCustomer::NAME;
pub(super) const UPDATE_PREFERENCES: &str = profile::UpdatePreferences::NAME;
pub(super) const FIND_NEARBY: &str = location::FindNearby::NAME;
pub(super) const CALCULATE_DISTANCE: &str = location::CalculateDistance::NAME;
pub(super) const CREATE_TICKET: &str = support::CreateTicket::NAME;
pub(super) const LIST_TICKETS: &str = support::ListTickets::NAME;
pub(super) const UPDATE_TICKET: &str = support::UpdateTicket::NAME;
pub(super) const ESCALATE: &str = support::EscalateToHuman::NAME;
