/** The part `kubernetes` of the configuration: policy, endpoints and identities from the API of a cluster. */
import { DEFAULT_POLICY_KINDS, POLICY_KINDS } from '../model/kube_policy_kinds.ts';
import { absentAsNull, list, mapping, nullAsEmpty, optional } from './field.ts';
import { choiceField, pathField, switchField, textField } from './scalar_fields.ts';

/** RFC 1123: what Kubernetes allows as the name of a node. */
const NODE_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
/** As Cilium's agent checks its option cluster-name. */
const CLUSTER_NAME = /^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$/;
const NAMESPACE = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const CONTEXT = /^[^\u0000]{1,253}$/;
/** Cilium's option labels separates them by spaces. */
const LABEL_PATTERN = /^[^\s\u0000]{1,512}$/;

const labelPatterns = list(textField(LABEL_PATTERN, 'a pattern of labels, without spaces'), {
  countMin: 0,
});

export const kubernetesFields = nullAsEmpty(
  mapping({
    kubeconfig: absentAsNull(
      pathField(),
      'A kubeconfig file. Without it: the service account of the pod, then the files of KUBECONFIG, then ~/.kube/config.',
    ),
    context: absentAsNull(
      textField(CONTEXT, 'the name of a context'),
      'The context of the kubeconfig; by default its current one.',
    ),
    nodeName: absentAsNull(
      textField(NODE_NAME, 'the name of a node'),
      'The node that this is, as the cluster calls it: policy is made for its pods. By default the variable NODE_NAME, then the name of the host.',
    ),
    clusterName: optional(
      textField(
        CLUSTER_NAME,
        'a name of at most 32 lower-case letters, digits and "-", with a letter or digit at both ends',
      ),
      'Cilium’s name of the cluster, which is a label of each identity.',
      'default',
    ),
    identities: optional(
      choiceField(['own', 'cilium']),
      'Who numbers identities: own, or cilium (the numbers of CiliumIdentity, CiliumEndpoint and CiliumEndpointSlice objects).',
      'own',
    ),
    labels: optional(
      labelPatterns,
      'Which labels of a pod are part of its identity, like Cilium’s option of the same name: patterns such as "k8s:app" or "k8s:!build". By default as by default there.',
      [],
    ),
    nodeLabels: optional(
      labelPatterns,
      'The same for labels of nodes, like Cilium’s option node-labels.',
      [],
    ),
    policyKinds: optional(
      list(choiceField(POLICY_KINDS), { countMin: 1 }),
      'Kinds of policy that are read. One that the cluster does not have is taken up when it appears.',
      DEFAULT_POLICY_KINDS,
    ),
    report: optional(
      switchField(),
      'Write back what became of policies: their condition Valid, and Events. Of all proxies of a cluster one writes, which a Lease elects.',
      true,
    ),
    reportNamespace: absentAsNull(
      textField(NAMESPACE, 'the name of a namespace'),
      'Where the Lease sallyport-report is; by default in the namespace of our service account, or of the context.',
    ),
    secretsNamespace: absentAsNull(
      textField(NAMESPACE, 'the name of a namespace'),
      'Secrets that policies name are read in this namespace, as NAMESPACE-NAME, where Cilium’s operator copies them (cilium-secrets). Without it each is read where it is, by its name.',
    ),
  }),
);
