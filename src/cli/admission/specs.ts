/** The argument table of `admission`. */
import type { VerbSpec } from '../args.ts';

export const DEFAULT_PORT = 9443;

export const ADMISSION_SPEC: VerbSpec = {
  name: 'admission',
  about: 'Serves an admission webhook: kubectl apply says what check says',
  argumentsForm: '',
  argumentCountMin: 0,
  argumentCountMax: 0,
  flags: [
    {
      name: 'config',
      short: 'c',
      value: 'FILE',
      about: 'the configuration of the proxies: limits, enableNodeSelectorLabels, kubernetes',
    },
    {
      name: 'listen',
      value: 'ADDRESS',
      about: `where to listen (default: port ${DEFAULT_PORT} of all addresses)`,
    },
    {
      name: 'host',
      value: 'NAME',
      isRepeated: true,
      about: 'name or address by which API servers know it: sallyport-admission.sallyport.svc',
    },
    {
      name: 'secret',
      value: 'NAMESPACE/NAME',
      about: 'the Secret in which its certificates are kept; it must be there',
    },
    {
      name: 'webhook',
      value: 'NAME',
      about: 'the ValidatingWebhookConfiguration that is told whom to trust',
    },
  ],
  notes: [
    'POST /validate takes AdmissionReviews; GET /livez and GET /readyz are for probes, on the same port.\n' +
      'Certificates are made, renewed and shared between replicas in the Secret.',
    'SIGTERM and SIGINT drain it; a second signal ends it at once.',
  ],
  examples: [
    'sallyport admission -c config.yaml --host sallyport-admission.sallyport.svc \\\n' +
      '  --secret sallyport/sallyport-admission --webhook sallyport-policies',
  ],
};
