// Reads manifests (YAML, several documents) from standard input and does with each what the API server
// does: decodes it strictly into the type of its kind, sets the defaults, validates. Writes one line of
// JSON for each document. This is Kubernetes' own code, so no cluster and no published schema is needed.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	serializer "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	yamlreader "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	podapi "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/admissionregistration"
	_ "k8s.io/kubernetes/pkg/apis/admissionregistration/install"
	admissionvalidation "k8s.io/kubernetes/pkg/apis/admissionregistration/validation"
	"k8s.io/kubernetes/pkg/apis/apps"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/coordination"
	_ "k8s.io/kubernetes/pkg/apis/coordination/install"
	coordinationvalidation "k8s.io/kubernetes/pkg/apis/coordination/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/networking"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	networkingvalidation "k8s.io/kubernetes/pkg/apis/networking/validation"
	disruption "k8s.io/kubernetes/pkg/apis/policy"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	disruptionvalidation "k8s.io/kubernetes/pkg/apis/policy/validation"
	"k8s.io/kubernetes/pkg/apis/rbac"
	_ "k8s.io/kubernetes/pkg/apis/rbac/install"
	rbacvalidation "k8s.io/kubernetes/pkg/apis/rbac/validation"
	podsecurity "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

type result struct {
	Kind     string   `json:"kind"`
	Name     string   `json:"name"`
	Problems []string `json:"problems"`
	// Of a DaemonSet and a Deployment: the checks of each pod security level that its pods do not pass.
	PodSecurity map[string][]string `json:"podSecurity,omitempty"`
	// The object with the defaults that the API server would set.
	Object any `json:"object"`
}

func main() {
	documents := yamlreader.NewYAMLReader(bufio.NewReader(os.Stdin))
	output := json.NewEncoder(os.Stdout)
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		if checked := check(document); checked != nil {
			if err := output.Encode(checked); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(2)
			}
		}
	}
}

func check(document []byte) *result {
	var head struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
	}
	if err := yaml.Unmarshal(document, &head); err != nil {
		return &result{Problems: []string{err.Error()}}
	}
	if head.Kind == "" && len(bytes.TrimSpace(withoutComments(document))) == 0 {
		return nil
	}
	checked := &result{Kind: head.Kind, Name: head.Name, Problems: []string{}}
	if head.APIVersion == "monitoring.coreos.com/v1" && head.Kind == "PodMonitor" {
		monitor := &monitoring.PodMonitor{}
		checked.Object = monitor
		if err := yaml.UnmarshalStrict(document, monitor); err != nil {
			checked.Problems = append(checked.Problems, err.Error())
		}
		return checked
	}
	if head.Kind == "CustomResourceDefinition" {
		// test/kube/real/crds.test.ts has a real API server take it.
		checked.Object = head
		return checked
	}
	checkBuiltIn(document, checked)
	return checked
}

func withoutComments(document []byte) []byte {
	var kept [][]byte
	for _, line := range bytes.Split(document, []byte("\n")) {
		if trimmed := bytes.TrimSpace(line); !bytes.HasPrefix(trimmed, []byte("#")) && !bytes.Equal(trimmed, []byte("---")) {
			kept = append(kept, line)
		}
	}
	return bytes.Join(kept, []byte("\n"))
}

func checkBuiltIn(document []byte, checked *result) {
	scheme := legacyscheme.Scheme
	options := serializer.SerializerOptions{Yaml: true, Strict: true}
	decoder := serializer.NewSerializerWithOptions(serializer.DefaultMetaFactory, scheme, scheme, options)
	object, kind, err := decoder.Decode(document, nil, nil)
	if err != nil {
		checked.Problems = append(checked.Problems, err.Error())
		return
	}
	scheme.Default(object)
	checked.Object = object
	switch object := object.(type) {
	case *appsv1.DaemonSet:
		checked.PodSecurity = podSecurity(object.Spec.Template)
	case *appsv1.Deployment:
		checked.PodSecurity = podSecurity(object.Spec.Template)
	}
	internal, err := scheme.ConvertToVersion(object, runtime.NewMultiGroupVersioner(
		schema.GroupVersion{Group: kind.Group, Version: runtime.APIVersionInternal}, kind.GroupKind()))
	if err != nil {
		checked.Problems = append(checked.Problems, err.Error())
		return
	}
	for _, problem := range validate(internal) {
		checked.Problems = append(checked.Problems, problem.Error())
	}
}

func validate(object runtime.Object) field.ErrorList {
	switch object := object.(type) {
	case *apps.DaemonSet:
		options := podapi.GetValidationOptionsFromPodTemplate(&object.Spec.Template, nil)
		return appsvalidation.ValidateDaemonSet(object, options)
	case *networking.NetworkPolicy:
		return networkingvalidation.ValidateNetworkPolicy(object, networkingvalidation.NetworkPolicyValidationOptions{})
	case *core.ConfigMap:
		return corevalidation.ValidateConfigMap(object)
	case *core.ServiceAccount:
		return corevalidation.ValidateServiceAccount(object)
	case *apps.Deployment:
		options := podapi.GetValidationOptionsFromPodTemplate(&object.Spec.Template, nil)
		return appsvalidation.ValidateDeployment(object, options)
	case *core.Service:
		return corevalidation.ValidateServiceCreate(object)
	case *core.Secret:
		return corevalidation.ValidateSecret(object)
	case *rbac.Role:
		return rbacvalidation.ValidateRole(object)
	case *rbac.RoleBinding:
		return rbacvalidation.ValidateRoleBinding(object)
	case *rbac.ClusterRole:
		return rbacvalidation.ValidateClusterRole(object, rbacvalidation.ClusterRoleValidationOptions{})
	case *rbac.ClusterRoleBinding:
		return rbacvalidation.ValidateClusterRoleBinding(object)
	case *disruption.PodDisruptionBudget:
		return disruptionvalidation.ValidatePodDisruptionBudget(object, disruptionvalidation.PodDisruptionBudgetValidationOptions{})
	case *coordination.Lease:
		return coordinationvalidation.ValidateLease(object)
	case *admissionregistration.ValidatingWebhookConfiguration:
		return admissionvalidation.ValidateValidatingWebhookConfiguration(object)
	case *admissionregistration.ValidatingAdmissionPolicy:
		return admissionvalidation.ValidateValidatingAdmissionPolicy(object)
	case *admissionregistration.ValidatingAdmissionPolicyBinding:
		return admissionvalidation.ValidateValidatingAdmissionPolicyBinding(object)
	case *core.Namespace:
		return corevalidation.ValidateNamespace(object)
	}
	return field.ErrorList{field.NotSupported[string](field.NewPath("kind"), fmt.Sprintf("%T", object), nil)}
}

func podSecurity(template corev1.PodTemplateSpec) map[string][]string {
	failed := map[string][]string{}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return map[string][]string{"error": {err.Error()}}
	}
	for _, level := range []podsecurity.Level{podsecurity.LevelBaseline, podsecurity.LevelRestricted} {
		at := podsecurity.LevelVersion{Level: level, Version: podsecurity.LatestVersion()}
		failed[string(level)] = []string{}
		for _, one := range evaluator.EvaluatePod(at, &template.ObjectMeta, &template.Spec) {
			if !one.Allowed {
				failed[string(level)] = append(failed[string(level)], one.ForbiddenReason+": "+one.ForbiddenDetail)
			}
		}
	}
	return failed
}
