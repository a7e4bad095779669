/** The part `hubble` of the configuration: what is told about flows to who uses Cilium's Hubble. */
import { type HubbleMetricRequest, parseHubbleMetric } from '../model/hubble_metric_request.ts';
import { absentAsNull, type Field, INVALID, list, mapping, optional, required } from './field.ts';
import {
  integerField,
  pathField,
  quantityField,
  socketAddressField,
  switchField,
  textField,
} from './scalar_fields.ts';

const MIB = 1024 * 1024;
const GROUP_MAX = 0xffff_fffe;

const metrics = mapping({
  enabled: optional(
    list(metricField(), { countMin: 0 }),
    'What is counted, in the words of Cilium’s Helm value of the same name: dns:query;ignoreAAAA, drop, httpV2:exemplars=true;labelsContext=source_namespace,destination_namespace (docs/hubble.md). Nothing by default.',
    [],
  ),
  address: optional(
    socketAddressField({ allowPortZero: true }),
    'Where it is scraped (/metrics), when something is counted.',
    '127.0.0.1:9965',
  ),
  allowRemote: optional(
    switchField(),
    'Allow an address that other machines reach: the metrics name pods, services and domains, and nobody is asked who they are.',
    false,
  ),
  openMetrics: optional(
    switchField(),
    'Answer in OpenMetrics, which has exemplars, to a scraper that asks for it.',
    false,
  ),
});

const flowExport = mapping({
  file: absentAsNull(pathField(), 'A file that flows are written to, one JSON object a line.'),
  allow: optional(
    list(filterField(), { countMin: 0 }),
    'JSON filters, as `observe --print-raw-filters` prints them: flows that any of them takes are written; without one, all.',
    [],
  ),
  deny: optional(
    list(filterField(), { countMin: 0 }),
    'The same of flows that are not written.',
    [],
  ),
  fieldMask: optional(
    list(
      textField(
        /^[A-Za-z0-9_]{1,64}(\.[A-Za-z0-9_]{1,64}){0,8}$/,
        'a field such as source.pod_name',
      ),
      {
        countMin: 0,
      },
    ),
    'Fields of a flow that are written, such as time, verdict and source.pod_name; without one, all.',
    [],
  ),
  fileBytesMax: optional(
    quantityField({ min: 1024, max: 1024 * 1024 * MIB }, 'bytes'),
    'About how large the file gets before it is put aside.',
    '10MiB',
  ),
  backups: optional(
    integerField({ min: 0, max: 10_000 }),
    'How many files that were put aside stay.',
    5,
  ),
  compress: optional(switchField(), 'Compress files that were put aside.', false),
  dynamic: absentAsNull(
    pathField(),
    'A file that says, while the proxy runs, which flows are written where: flowLogs, as in Cilium’s hubble.export.dynamic.',
  ),
});

const tls = mapping({
  cert: required(
    pathField(),
    'Certificate of the node, PEM. All three files are read again when they change.',
  ),
  key: required(pathField(), 'Its key.'),
  clientCa: required(
    pathField(),
    'Certificates of authorities, PEM: whoever has a certificate of one of them may read flows.',
  ),
});

export const hubbleFields = mapping({
  socket: absentAsNull(
    pathField(),
    'Socket file where clients of Hubble read flows, such as /run/sallyport/hubble.sock (`hubble --server unix:///run/sallyport/hubble.sock`). It belongs to its owner alone.',
  ),
  socketGroup: absentAsNull(
    integerField({ min: 0, max: GROUP_MAX }),
    'Number of a group whose members may read there, too.',
  ),
  listen: absentAsNull(
    socketAddressField({ allowPortZero: true }),
    'Address where clients and relays read flows by TCP; relays expect port 4244. Without `tls` it must be a loopback address.',
  ),
  tls: absentAsNull(tls, 'Certificates of `listen`. A client without one is not let in.'),
  announce: absentAsNull(
    socketAddressField({ allowPortZero: false }),
    'Where relays reach this node, when it is not `listen` itself, as with 0.0.0.0.',
  ),
  metrics: optional(metrics, 'Hubble’s metrics: hubble_*.', {}),
  export: optional(flowExport, 'Flows in files, as Hubble’s exporter writes them.', {}),
});

function metricField(): Field<HubbleMetricRequest> {
  const text = textField(/^[^\u0000]{1,2000}$/, 'a metric such as dns:query');
  return {
    ...text,
    decode: (located, context) => {
      const value = text.decode(located, context);
      if (value === INVALID) return INVALID;
      const parsed = parseHubbleMetric(value);
      return parsed.kind === 'request'
        ? parsed.request
        : context.reject(located.origin, parsed.message);
    },
  };
}

/** What is in it is for who knows flows to judge, at the start. */
function filterField(): Field<string> {
  return textField(/^\s*\{[^\u0000]{0,65536}\}\s*$/s, 'a JSON object');
}
