-- What stands at the head of a printed bill besides the shop's name. All of it may be missing.

alter table shop.tenants
    add column address    text check (length(address) between 1 and 300),
    add column phone      text check (length(phone) between 1 and 40),
    add column tax_number text check (length(tax_number) between 1 and 40);
comment on column shop.tenants.address is 'As it is printed on bills; lines are kept';
comment on column shop.tenants.phone is 'As it is printed on bills';
comment on column shop.tenants.tax_number is 'The number by which the tax office knows the shop, as it is printed on bills';
