attach database '@FOLDER/new.sqlite' as x
---
attach ':memory:' as x
---
ATTACH '@FOLDER/garage.sqlite' AS again KEY 'x'
---
detach database main
---
pragma writable_schema = on
---
pragma writable_schema
---
pragma query_only = off
---
pragma journal_mode = wal
---
PRAGMA main.user_version = 7
---
pragma table_info(car)
---
select * from pragma_table_info('car')
---
select * from pragma_database_list
---
select file from pragma_database_list()
---
select * from pragma_compile_options
---
with x as (select * from pragma_user_version) select * from x
---
insert into car values (9, 'x', 1, null)
---
insert into car values (9, 'x', 1, null) returning id
---
replace into car (id) values (1)
---
update car set name = 'x'
---
update car set name = 'x' returning name
---
delete from car
---
delete from car returning id
---
with gone as (select 1) delete from car
---
create table evil (x)
---
create temp table evil (x)
---
create table evil as select * from car
---
create index evil on car (name)
---
create view evil as select 1
---
create temp view evil as select 1
---
create trigger evil after update on car begin select 1; end
---
create virtual table evil using fts5(x)
---
create virtual table temp.evil using dbstat
---
drop table car
---
drop view cheap
---
drop trigger t
---
alter table car rename to auto
---
alter table car add column evil
---
alter table car drop column note
---
reindex
---
analyze
---
vacuum
---
vacuum into '@FOLDER/copy.sqlite'
---
begin
---
begin immediate
---
commit
---
savepoint x
---
release x
---
select load_extension('@FOLDER/evil.so')
---
select load_extension('@FOLDER/evil.so', 'init')
---
select writefile('@FOLDER/evil', 'x')
---
select readfile('/etc/passwd')
---
select edit('x')
---
select fts3_tokenizer('simple')
---
select id from car; delete from car
---
select id from car; select id from car
---
select 1; attach '@FOLDER/new.sqlite' as x
---
; ; delete from car
---
select 1 /* ; */ ; drop table car --
---
explain select id from car
---
explain query plan select id from car
---
select zeroblob(1000000000)
---
select printf('%1000000000d', 1)
---
select hex(randomblob(900000000))
---
select id from car where name = '
---
select id from nowhere
---
insert into sqlite_master values ('table', 'x', 'x', 1, 'x')
---
update sqlite_schema set sql = ''
---
delete from sqlite_sequence
---

