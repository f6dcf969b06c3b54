# One machine per entry of var.vms, cloned whole from the template. No provisioner, no data source, no secret:
# what runs inside the machines is configured afterwards, over SSH.
resource "proxmox_virtual_environment_vm" "this" {
  for_each = var.vms

  name        = each.key
  node_name   = each.value.node
  vm_id       = each.value.vm_id
  description = "Made by Terraform from the blueprint proxmox-vms. Changes by hand are undone at the next apply."
  tags        = sort(distinct(concat(var.tags, each.value.tags)))
  on_boot     = true
  protection  = each.value.protection

  clone {
    vm_id        = var.template_id
    node_name    = var.template_node
    datastore_id = var.datastore
    full         = true
  }

  agent {
    enabled = true
    trim    = true
    timeout = "5m"
  }

  cpu {
    cores = each.value.cores
    type  = "x86-64-v2-AES"
  }

  memory {
    dedicated = each.value.memory_mb
  }

  disk {
    interface    = "scsi0"
    datastore_id = var.datastore
    size         = each.value.disk_gb
    discard      = "on"
  }

  network_device {
    bridge = var.bridge
  }

  initialization {
    datastore_id = var.datastore

    ip_config {
      ipv4 {
        address = "${each.value.ipv4}/${var.ipv4_prefix}"
        gateway = var.gateway
      }
    }

    dns {
      servers = length(var.dns_servers) > 0 ? var.dns_servers : [var.gateway]
    }

    user_account {
      username = var.username
      keys     = [for key in var.ssh_public_keys : trimspace(key)]
    }
  }

  operating_system {
    type = "l26"
  }
}
