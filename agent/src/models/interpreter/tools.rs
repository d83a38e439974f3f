//! The names of the tools of payments, bookings, people, places and support, as the rules call them.

pub(super) const CHECK_BALANCE: &str = "check_balance";
pub(super) const COLLECT_PAYMENT: &str = "collect_payment";
pub(super) const TRANSACTION_HISTORY: &str = "transaction_history";
pub(super) const REFUND_PAYMENT: &str = "refund_payment";
pub(super) const TOP_UP_WALLET: &str = "top_up_wallet";
pub(super) const CREDIT_BILL: &str = "billing_credit_bill";
pub(super) const WRITE_OFF_BILL: &str = "billing_write_off_bill";
pub(super) const SET_RESOURCE: &str = "booking_set_resource";
pub(super) const SET_HOURS: &str = "booking_set_hours";
pub(super) const CHECK_AVAILABILITY: &str = "check_availability";
pub(super) const CREATE_BOOKING: &str = "create_booking";
pub(super) const RESCHEDULE_BOOKING: &str = "reschedule_booking";
pub(super) const CANCEL_BOOKING: &str = "cancel_booking";
pub(super) const VIEW_BOOKINGS: &str = "view_bookings";
pub(super) const GET_USER_PROFILE: &str = "get_user_profile";
pub(super) const FIND_CUSTOMERS: &str = "find_customers";
pub(super) const CREATE_CUSTOMER: &str = "create_customer";
pub(super) const UPDATE_PREFERENCES: &str = "update_preferences";
pub(super) const FIND_NEARBY: &str = "find_nearby";
pub(super) const CALCULATE_DISTANCE: &str = "calculate_distance";
pub(super) const CREATE_TICKET: &str = "create_ticket";
pub(super) const LIST_TICKETS: &str = "list_tickets";
pub(super) const UPDATE_TICKET: &str = "update_ticket";
pub(super) const ESCALATE: &str = "escalate_to_human";
