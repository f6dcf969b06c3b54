variable "name" {
  description = "Name of the cluster; a tag of every machine."
  type        = string
  default     = "k8s"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$", var.name))
    error_message = "name is lower-case letters, digits and hyphens, at most 32, no hyphen at either end."
  }
}

variable "nodes" {
  description = "The Proxmox nodes that the machines are spread over."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.nodes) > 0 && alltrue([for node in var.nodes : length(node) > 0])
    error_message = "nodes names at least one Proxmox node, for example [\"pve1\", \"pve2\"]."
  }

  validation {
    condition     = length(distinct(var.nodes)) == length(var.nodes)
    error_message = "One of nodes is named twice."
  }
}

variable "control_planes" {
  description = "Machines that run the API and etcd, by name. The name is also the host name."
  nullable    = false
  type = map(object({
    node      = string
    ipv4      = string
    vm_id     = optional(number)
    cores     = optional(number, 2)
    memory_mb = optional(number, 4096)
    disk_gb   = optional(number, 30)
  }))

  validation {
    condition     = contains([1, 3, 5, 7], length(var.control_planes))
    error_message = "control_planes are 1, 3, 5 or 7: etcd needs a majority, so an even number survives no more than one fewer."
  }

  validation {
    condition     = alltrue([for vm in values(var.control_planes) : contains(var.nodes, vm.node)])
    error_message = "Each of control_planes lives on one of nodes."
  }

  validation {
    condition = try(
      max([for node in var.nodes : length([for vm in values(var.control_planes) : vm if vm.node == node])]...) <=
      1 + min([for node in var.nodes : length([for vm in values(var.control_planes) : vm if vm.node == node])]...), false
    )
    error_message = "control_planes are spread over nodes as evenly as they can be: no node has two more of them than another."
  }

  validation {
    condition     = alltrue([for vm in values(var.control_planes) : vm.cores >= 2 && vm.memory_mb >= 2048])
    error_message = "A control plane needs 2 cores and 2048 MiB at least; kubeadm refuses less."
  }
}

variable "workers" {
  description = "Machines that run applications only, by name. None: the control planes run them as well."
  nullable    = false
  default     = {}
  type = map(object({
    node      = string
    ipv4      = string
    vm_id     = optional(number)
    cores     = optional(number, 2)
    memory_mb = optional(number, 4096)
    disk_gb   = optional(number, 40)
  }))

  validation {
    condition     = alltrue([for vm in values(var.workers) : contains(var.nodes, vm.node)])
    error_message = "Each of workers lives on one of nodes."
  }

  validation {
    condition = try(
      max([for node in var.nodes : length([for vm in values(var.workers) : vm if vm.node == node])]...) <=
      1 + min([for node in var.nodes : length([for vm in values(var.workers) : vm if vm.node == node])]...), false
    )
    error_message = "workers are spread over nodes as evenly as they can be: no node has two more of them than another."
  }

  validation {
    condition     = length(setintersection(keys(var.workers), keys(var.control_planes))) == 0
    error_message = "A machine is a control plane or a worker: a name stands in both."
  }

  validation {
    condition     = alltrue([for vm in values(var.workers) : vm.memory_mb >= 1024])
    error_message = "A worker needs 1024 MiB at least."
  }
}

variable "cluster_endpoint" {
  description = "Address of the API that moves to a control plane that lives. No machine has it as its own."
  type        = string
  nullable    = false

  validation {
    condition     = can(cidrhost("${var.cluster_endpoint}/32", 0))
    error_message = "cluster_endpoint is an IPv4 address, for example \"192.168.178.30\"."
  }

  validation {
    condition = !contains(
      concat([var.gateway], [for vm in concat(values(var.control_planes), values(var.workers)) : vm.ipv4]), var.cluster_endpoint
    )
    error_message = "cluster_endpoint is the gateway's or a machine's own address; it must be free."
  }

  validation {
    condition = try(
      cidrhost("${var.cluster_endpoint}/${var.ipv4_prefix}", 0) == cidrhost("${var.gateway}/${var.ipv4_prefix}", 0), true
    )
    error_message = "cluster_endpoint must lie in the machines' network (see ipv4_prefix)."
  }
}

variable "ingress_address" {
  description = "Address of the ingress that moves to a machine that lives. No machine has it as its own."
  type        = string
  nullable    = false

  validation {
    condition     = can(cidrhost("${var.ingress_address}/32", 0))
    error_message = "ingress_address is an IPv4 address, for example \"192.168.178.31\"."
  }

  validation {
    condition = !contains(
      concat([var.gateway, var.cluster_endpoint], [for vm in concat(values(var.control_planes), values(var.workers)) : vm.ipv4]), var.ingress_address
    )
    error_message = "ingress_address is the gateway's, the API's or a machine's own address; it must be free."
  }

  validation {
    condition = try(
      cidrhost("${var.ingress_address}/${var.ipv4_prefix}", 0) == cidrhost("${var.gateway}/${var.ipv4_prefix}", 0), true
    )
    error_message = "ingress_address must lie in the machines' network (see ipv4_prefix)."
  }
}

variable "protection" {
  description = "Whether Proxmox refuses to destroy the machines, whoever asks. To tear down: apply false first."
  type        = bool
  default     = true
  nullable    = false
}

# What is handed on as it is; proxmox-vms says more of each and checks it.

variable "template_id" {
  description = "VM id of the template to clone. It has a cloud-init drive and the guest agent installed."
  type        = number
  nullable    = false
}

variable "template_node" {
  description = "The node that holds the template."
  type        = string
  nullable    = false
}

variable "datastore" {
  description = "Storage of the disks and of the cloud-init drives. Machines on another node than the template's need a shared one."
  type        = string
  nullable    = false
}

variable "gateway" {
  description = "Default gateway of the machines."
  type        = string
  nullable    = false
}

variable "ipv4_prefix" {
  description = "Prefix length of the machines' network."
  type        = number
  default     = 24
  nullable    = false
}

variable "dns_servers" {
  description = "Name servers. Empty: the gateway."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "bridge" {
  description = "Network bridge, the same name on every node."
  type        = string
  default     = "vmbr0"
  nullable    = false
}

variable "ssh_public_keys" {
  description = "Public keys that may log in as username. Public, so they may stand in the code."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.ssh_public_keys) > 0
    error_message = "ssh_public_keys is empty: nobody could log in to install Kubernetes."
  }
}

variable "username" {
  description = "User that cloud-init creates."
  type        = string
  default     = "debian"
  nullable    = false
}

variable "tags" {
  description = "Tags of every machine, beside the cluster's name and its role."
  type        = list(string)
  default     = ["watchbill"]
  nullable    = false
}
