variable "vms" {
  description = "The machines to create, by name. The name is also the host name."
  nullable    = false
  type = map(object({
    node       = string
    ipv4       = string
    vm_id      = optional(number)
    cores      = optional(number, 2)
    memory_mb  = optional(number, 4096)
    disk_gb    = optional(number, 30)
    tags       = optional(list(string), [])
    protection = optional(bool, false)
  }))

  validation {
    condition     = length(var.vms) > 0
    error_message = "vms is empty: name at least one machine."
  }

  validation {
    condition = alltrue([
      for name in keys(var.vms) : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", name))
    ])
    error_message = "Names of vms are host names: lower-case letters, digits and hyphens, at most 63 characters, no hyphen at either end."
  }

  validation {
    condition     = alltrue([for vm in values(var.vms) : length(vm.node) > 0])
    error_message = "Each of vms needs the name of its node, for example node = \"pve1\"."
  }

  validation {
    condition = alltrue([
      for vm in values(var.vms) : can(cidrhost("${vm.ipv4}/32", 0))
    ])
    error_message = "ipv4 is an address without a prefix length, for example \"192.168.178.21\"; the prefix length is ipv4_prefix."
  }

  validation {
    condition     = length(distinct([for vm in values(var.vms) : vm.ipv4])) == length(var.vms)
    error_message = "Two of vms have the same ipv4 address."
  }

  validation {
    condition = length(distinct([for vm in values(var.vms) : vm.vm_id if vm.vm_id != null])) == length([
      for vm in values(var.vms) : vm.vm_id if vm.vm_id != null
    ])
    error_message = "Two of vms have the same vm_id."
  }

  validation {
    condition = alltrue([
      for vm in values(var.vms) : vm.vm_id == null || (coalesce(vm.vm_id, 100) >= 100 && coalesce(vm.vm_id, 100) <= 999999999)
    ])
    error_message = "vm_id is a number from 100 to 999999999, or absent for the next free one."
  }

  validation {
    condition     = alltrue([for vm in values(var.vms) : vm.cores >= 1 && vm.cores <= 128 && floor(vm.cores) == vm.cores])
    error_message = "cores is a whole number from 1 to 128."
  }

  validation {
    condition     = alltrue([for vm in values(var.vms) : vm.memory_mb >= 512 && floor(vm.memory_mb) == vm.memory_mb])
    error_message = "memory_mb is a whole number of MiB, 512 or more: 4 GiB is 4096."
  }

  validation {
    condition     = alltrue([for vm in values(var.vms) : vm.disk_gb >= 4 && floor(vm.disk_gb) == vm.disk_gb])
    error_message = "disk_gb is a whole number of GiB, 4 or more; a disk cannot be smaller than the template's."
  }

  validation {
    condition = alltrue(flatten([
      for vm in values(var.vms) : [for tag in vm.tags : can(regex("^[a-z0-9_][a-z0-9_.+-]*$", tag))]
    ]))
    error_message = "Tags are lower-case letters, digits and _ . + -, and begin with a letter, a digit or _."
  }
}

variable "template_id" {
  description = "VM id of the template to clone. It has a cloud-init drive and the guest agent installed."
  type        = number
  nullable    = false

  validation {
    condition     = var.template_id >= 100 && var.template_id <= 999999999
    error_message = "template_id is the VM id of a template, a number from 100 to 999999999."
  }
}

variable "template_node" {
  description = "The node that holds the template."
  type        = string
  nullable    = false

  validation {
    condition     = length(var.template_node) > 0
    error_message = "template_node is the name of the node that holds the template."
  }
}

variable "datastore" {
  description = "Storage of the disks and of the cloud-init drives. Machines on another node than the template's need a shared one."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9_.-]*$", var.datastore))
    error_message = "datastore is the name of a storage as Proxmox shows it, for example \"local-lvm\"."
  }
}

variable "gateway" {
  description = "Default gateway of the machines."
  type        = string
  nullable    = false

  validation {
    condition     = can(cidrhost("${var.gateway}/32", 0))
    error_message = "gateway is an IPv4 address, for example \"192.168.178.1\"."
  }

  validation {
    condition = alltrue([
      for vm in values(var.vms) : try(
        cidrhost("${vm.ipv4}/${var.ipv4_prefix}", 0) == cidrhost("${var.gateway}/${var.ipv4_prefix}", 0), true
      )
    ])
    error_message = "The gateway and every ipv4 of vms must lie in the same network (see ipv4_prefix)."
  }

  validation {
    condition     = !contains([for vm in values(var.vms) : vm.ipv4], var.gateway)
    error_message = "One of vms has the gateway's address."
  }
}

variable "ipv4_prefix" {
  description = "Prefix length of the machines' network."
  type        = number
  default     = 24
  nullable    = false

  validation {
    condition     = var.ipv4_prefix >= 8 && var.ipv4_prefix <= 30 && floor(var.ipv4_prefix) == var.ipv4_prefix
    error_message = "ipv4_prefix is a whole number from 8 to 30."
  }
}

variable "dns_servers" {
  description = "Name servers. Empty: the gateway."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for address in var.dns_servers : can(cidrhost("${address}/32", 0))])
    error_message = "dns_servers are IPv4 addresses."
  }
}

variable "bridge" {
  description = "Network bridge, the same name on every node."
  type        = string
  default     = "vmbr0"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9_.-]{1,14}$", var.bridge))
    error_message = "bridge is the name of a bridge, for example \"vmbr0\"."
  }
}

variable "ssh_public_keys" {
  description = "Public keys that may log in as username. Public, so they may stand in the code."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition = alltrue([
      for key in var.ssh_public_keys : can(regex("^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-\\S+) [A-Za-z0-9+/=]+( .*)?$", trimspace(key)))
    ])
    error_message = "ssh_public_keys are OpenSSH public keys, one line each (\"ssh-ed25519 AAAA… name\"), never private ones."
  }
}

variable "username" {
  description = "User that cloud-init creates."
  type        = string
  default     = "debian"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z_][a-z0-9_-]{0,31}$", var.username)) && var.username != "root"
    error_message = "username is a Linux user name other than root."
  }
}

variable "tags" {
  description = "Tags of every machine, beside its own."
  type        = list(string)
  default     = ["watchbill"]
  nullable    = false

  validation {
    condition     = alltrue([for tag in var.tags : can(regex("^[a-z0-9_][a-z0-9_.+-]*$", tag))])
    error_message = "Tags are lower-case letters, digits and _ . + -, and begin with a letter, a digit or _."
  }
}
