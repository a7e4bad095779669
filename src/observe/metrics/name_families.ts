/** What answers taught, as metrics. */
import { type NameCounts, UNLEARNABLE_REASONS } from '../../model/name_counts.ts';
import { familyOf, type MetricFamily } from './family.ts';

export function nameFamilies(counts: NameCounts): readonly MetricFamily[] {
  return [
    familyOf('sallyport_fqdn_names', counts.names),
    familyOf('sallyport_fqdn_addresses', counts.addresses),
    familyOf('sallyport_fqdn_learned_total', counts.learned),
    familyOf('sallyport_fqdn_evicted_total', counts.evicted),
    familyOf('sallyport_fqdn_expired_total', counts.expired),
    ...UNLEARNABLE_REASONS.map((reason) =>
      familyOf('sallyport_fqdn_refused_total', counts.refused[reason], { reason }),
    ),
  ];
}
