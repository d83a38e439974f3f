-- A customer asks for her bills, and for her last one, in a shop that may have a million of others'.

create index bills_customer on shop.bills (tenant_id, customer_id, series, number desc) where customer_id is not null;
