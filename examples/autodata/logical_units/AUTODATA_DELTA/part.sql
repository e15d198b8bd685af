select s.vehicle_id, p.service_id, p.position, p.part_number, p.name, p.quantity, p.price_cents
from service_history s
join part p on p.service_id = s.id
where s.vehicle_id in (:ids)
