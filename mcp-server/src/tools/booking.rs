//! What can be booked, when, and by whom: a tool per file.

mod cancel_booking;
mod check_availability;
mod create_booking;
mod reschedule_booking;
mod set_hours;
mod set_resource;
mod view_bookings;

#[cfg(test)]
mod scenes;
