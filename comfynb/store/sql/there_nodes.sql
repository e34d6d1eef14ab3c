-- Which of these node executions are stored. $1: ids.
select id from node_executions where id = any($1::text[])
