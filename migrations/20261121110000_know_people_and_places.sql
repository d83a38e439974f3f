-- Who the customers are and what they like, where the shop is, and what people have to look at.

alter table shop.tenants add column country text check (country ~ '^[A-Z]{2}$');
comment on column shop.tenants.country is 'ISO 3166 alpha-2; telephone numbers without a country code are of this country, and where it is null they are refused';
update shop.tenants set country = 'RW' where demo;
